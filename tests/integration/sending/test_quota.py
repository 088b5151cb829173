"""When the account's 24-hour quota is used up: how long a send waits, and what it reports meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer import cli
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


def test_only_what_was_sent_lately_is_read(database: Database, tmp_path: Path) -> None:
    send_id = start(database, factories.settings(tmp_path), 2)
    run(database, "UPDATE deliveries SET state = 'accepted', settled_at = now()")
    for change, emails in (
        ("started_at = now()", 2),
        ("finished_at = now() - interval '1 hour'", 2),
        ("finished_at = now() - interval '2 days'", 0),
    ):
        run(database, f"UPDATE sends SET {change} WHERE id = {send_id}")
        with database.transaction() as tx:
            assert deliveries.quota_returns_at(tx, 10)[0] == emails


def test_the_status_counts_the_latest_sends(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(database, factories.settings(tmp_path), 2)
    run(
        database,
        "INSERT INTO sends (issue_key, edition_number, edition_id, state, sender, audience, due_at)"
        " SELECT issue_key, n, edition_id, 'finished', sender, audience, due_at FROM sends, generate_series(2, 25) AS n",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.url)

    def count(*options: str) -> int:
        return CliRunner().invoke(cli.cli, ["status", *options]).output.count("edition ")

    assert [count(), count("--all"), count("--json")] == [20, 24, 0]
    assert "`postmerge status --all`" in CliRunner().invoke(cli.cli, ["status"]).output
