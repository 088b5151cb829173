"""Digests: one email a week or a month, with each issue once, whatever a subscriber changes in between."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core import tokens
from mailer.core.db import Database
from mailer.flows.scheduled import subscriber_maintenance
from mailer.flows.scheduled.time_jumps import TimeJumps
from mailer.workers import scheduler
from tests import web
from tests.web import Web


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("python", "mail"))


def choose(newsletter: Web, frequency: str, lang: str = "") -> None:
    """Choose on the first subscriber's page, by the link of an issue."""
    token = tokens.unsubscribe_token(newsletter.settings.need_secrets(), newsletter.recipient(1), 3)
    answer = newsletter.client.post(f"/reader/{token}/choose", data={"tag": [], "frequency": frequency, "lang": lang})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("frequency", "sent", "now", "subject"),
    [
        ("monthly", "2026-02-10", datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC), "The Letter : votre récapitulatif mensuel"),
        ("weekly", "2026-02-10", datetime(2026, 2, 16, 0, 0, 5, tzinfo=UTC), "The Letter : votre récapitulatif hebdomadaire"),
        ("weekly", "2026-02-15 23:59", datetime(2026, 2, 16, tzinfo=UTC), "The Letter : votre récapitulatif hebdomadaire"),
    ],
)
def test_one_email_a_week_or_a_month_holds_its_issues_once(
    newsletter: Web, frequency: str, sent: str, now: datetime, subject: str
) -> None:
    newsletter.send(2)
    choose(newsletter, frequency, "fr")
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET confirmed_at = '2026-01-01'")
        tx.run("UPDATE consents SET at = '2026-01-02'")
        tx.run("UPDATE sends SET (frozen_at, started_at) = (%(sent)s, %(sent)s)", sent=sent)
        tx.run("DELETE FROM deliveries WHERE subscriber_id = 1")
    assert subscriber_maintenance.queue_digests(newsletter.database, now - timedelta(seconds=6)) == 0
    assert subscriber_maintenance.queue_digests(newsletter.database, now) == 1
    assert subscriber_maintenance.queue_digests(newsletter.database, now + timedelta(days=6)) == 0
    before = len(newsletter.emails())
    newsletter.work()
    email = newsletter.emails()[0]
    assert len(newsletter.emails()) == before + 1
    assert email.to == "subscriber-1@example.org"
    assert "Title of 2026-11-24-hello" in email.text
    assert "A first line" in email.text
    assert email.subject.replace("\N{NO-BREAK SPACE}", " ") == subject
    assert "List-Unsubscribe" in str(email.headers)


@pytest.mark.parametrize(
    ("choices", "weekly", "monthly"),
    [
        ([("02-12", "weekly")], 0, 0),  # after the issue came: it is in no digest
        ([("02-09", "weekly")], 1, 0),
        ([("02-09", "weekly"), ("02-12", "every")], 1, 0),  # before the digest: the issue is not lost
        ([("02-09", "weekly"), ("02-12", "every"), ("02-13", "weekly")], 1, 0),
        ([("02-09", "weekly"), ("02-12", "monthly")], 1, 0),
        ([("02-09", "weekly"), ("02-20", "monthly")], 1, 0),  # after the digest: the month does not repeat it
        ([("02-09", "monthly"), ("02-12", "weekly")], 0, 1),
        ([("02-08", "monthly"), ("02-09", "weekly"), ("02-12", "every")], 1, 0),
    ],
)
def test_whoever_changes_how_often_gets_each_issue_once(
    newsletter: Web, choices: list[tuple[str, str]], weekly: int, monthly: int
) -> None:
    newsletter.send(1)
    for _, frequency in choices:
        choose(newsletter, frequency)
    came_at_once = choices[0][0] > "02-10"
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET confirmed_at = '2026-01-01'")
        for choice, one in zip(tx.all("SELECT id FROM consents WHERE kind = 'chosen' ORDER BY id"), choices, strict=True):
            tx.run("UPDATE consents SET at = %(at)s WHERE id = %(id)s", at=f"2026-{one[0]}", id=choice["id"])
        tx.run(
            "UPDATE sends SET (created_at, frozen_at, started_at) = ('2026-02-01', '2026-02-10', '2026-02-10')"
        )  # scheduled before
        if not came_at_once:
            tx.run("DELETE FROM deliveries")
    queued = [
        subscriber_maintenance.queue_digests(newsletter.database, datetime(2026, month, day, tzinfo=UTC))
        for month, day in ((2, 16), (2, 23), (3, 1))
    ]
    assert queued == [weekly, 0, monthly]


def test_a_digest_catches_up_after_the_scheduler_stood_still(newsletter: Web) -> None:
    newsletter.send(1)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET confirmed_at = '2026-01-01', frequency = 'weekly'")
        tx.run("UPDATE sends SET started_at = '2026-02-10'")
        tx.run("DELETE FROM deliveries")
    assert subscriber_maintenance.queue_digests(newsletter.database, datetime(2026, 2, 9, tzinfo=UTC)) == 0
    assert subscriber_maintenance.queue_digests(newsletter.database, datetime(2026, 3, 4, tzinfo=UTC)) == 1
    assert subscriber_maintenance.queue_digests(newsletter.database, datetime(2026, 3, 9, tzinfo=UTC)) == 0


@pytest.mark.parametrize(("lang", "title"), [("fr", "Titre"), ("fr-CA", "Titre"), ("de", "Title of"), ("premium", "Title of")])
def test_the_month_in_one_email_names_translations_where_the_subscriber_has_them(
    newsletter: Web, lang: str, title: str
) -> None:
    newsletter.send(1)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET confirmed_at = '2026-01-01', frequency = 'monthly', lang = %(lang)s", lang=lang)
        tx.run("UPDATE sends SET started_at = '2026-02-10'")
        tx.run("DELETE FROM deliveries")
        for name, own in (("fr", "Titre"), ("premium", "")):
            tx.run(
                """
                INSERT INTO edition_variants (edition_id, name, digest, preheader, html, text, body, own_title, own_url)
                SELECT id, %(name)s, '', %(preheader)s, '', '', '', %(title)s, %(url)s FROM editions
                """,
                name=name,
                title=own,
                preheader="Une ligne" if own else "A paid line",
                url=f"https://example.org/{own}/" if own else "",
            )
    assert subscriber_maintenance.queue_digests(newsletter.database, datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC)) == 1
    newsletter.work()
    text = newsletter.emails()[0].text
    assert title in text
    assert ("https://example.org/Titre/" in text) == ("Une ligne" in text) == (title == "Titre")
    assert "A paid line" not in text


@pytest.mark.parametrize("waiting", [False, True])
def test_a_digest_waits_after_a_jump_of_the_databases_time(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch, waiting: bool
) -> None:
    stopping = threading.Event()

    def find_jump(_database: object, _settings: object, _wake_ups: object, jumps: TimeJumps) -> None:
        jumps.waiting = waiting
        stopping.set()

    monkeypatch.setattr(scheduler, "run_round", find_jump)
    monkeypatch.setattr(subscriber_maintenance, "_last", 0.0)
    scheduler.run_scheduler(newsletter.database, newsletter.settings, None, stopping)  # type: ignore[arg-type]
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM digests") == (0 if waiting else 2)  # of the week and the month, without issues
