"""When the account's 24-hour quota is used up: how long a send waits, and what it reports meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.flows.sending import ses_quota
from mailer.store.sending import deliveries, sends
from tests import factories
from tests.integration.events.test_mail_events import start
from tests.integration.sending.test_send_control import only, run


@pytest.mark.parametrize(
    ("back_in", "rest"),
    [("-1 hour", 15 * 60), ("5 seconds", 30), ("10 minutes", 600), ("14 minutes", 840), ("3 hours", 15 * 60)],
)
def test_a_send_rests_until_quota_comes_back_and_looks_again_after_a_quarter_of_an_hour(
    database: Database, tmp_path: Path, back_in: str, rest: int
) -> None:
    send_id = start(database, factories.settings(tmp_path), 2)
    run(
        database,
        f"UPDATE deliveries SET state = 'accepted', settled_at = now() - interval '24 hours' + interval '{back_in}'"
        " WHERE subscriber_id = 1",
    )
    ses_quota.wait_for_quota(database, send_id)
    with database.transaction() as tx:
        assert sends.backoff_seconds(tx, send_id) == pytest.approx(rest, abs=3)
    known = back_in != "-1 hour"
    said = only(database).send.waiting_reason
    assert ("when 1 of it return" in said, "checks again in 15 minutes" in said) == (known, not known)


@pytest.mark.parametrize(("waiting", "wanted"), [(0, 1), (1, 1), (999, 999), (1000, 1000), (3000, 1000)])
def test_a_send_waits_for_as_much_as_it_needs_and_a_thousand_at_most(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int, wanted: int
) -> None:
    send_id = start(database, factories.settings(tmp_path), 1)
    asked: list[int] = []

    def returns(_tx: object, emails: int) -> tuple[int, datetime]:
        asked.append(emails)
        return emails, datetime.now(UTC) + timedelta(minutes=1)

    monkeypatch.setattr(deliveries, "count_pending", lambda tx, send: waiting)
    monkeypatch.setattr(deliveries, "quota_returns_at", returns)
    ses_quota.wait_for_quota(database, send_id)
    assert asked == [wanted]
    assert f"when {wanted:,} of it return" in only(database).send.waiting_reason


def test_the_day_is_said_when_it_is_not_today() -> None:
    now = datetime(2026, 11, 24, 23, 50, tzinfo=UTC)
    assert ses_quota._day(now + timedelta(minutes=5), now) == "23:55 UTC"
    assert ses_quota._day(now + timedelta(minutes=15), now) == "Wed 25 Nov 00:05 UTC"
