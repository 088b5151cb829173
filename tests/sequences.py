"""Sequences for tests: their editions, people who begin them, and time that goes by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mailer.core.db import Database
from mailer.core.edition import Edition, SendIntent, SequenceRules, SequenceStep, Trigger
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Published, Request, publish
from tests.factories import edition
from tests.integration.publishing.test_publish import Limits

DAY = 86_400


def steps(*names: str, text: str = "", after: int = 3 * DAY, **rules: Any) -> list[Edition]:
    """The editions of a sequence ``welcome``: the first step at once, the others ``after`` the one before, in seconds."""
    facts = SequenceRules(**{"name": "welcome", "trigger": Trigger.CONFIRMED, **rules})
    found = [SequenceStep(facts, name, place, after if place > 1 else 0) for place, name in enumerate(names, 1)]
    return [
        edition(
            one.key,
            f"<p>{one.name} {text}</p>",
            path=f"content/sequences/{facts.name}/{one.position:02}-{one.name}.md",
            dated=datetime(2000, 1, 1, tzinfo=UTC),
            send=SendIntent.NO,
            step=one,
        )
        for one in found
    ]


def merge(database: Database, conf: Settings, editions: list[Edition], **more: Any) -> Published:
    """Publish these."""
    return publish(database, conf, editions, more.pop("findings", []), Limits(), Request(**more))


def join(database: Database, *names: str, tags: tuple[str, ...] = (), confirm: bool = True) -> list[int]:
    """Add unconfirmed people, and confirm them; return their ids."""
    with database.transaction() as tx:
        rows = tx.all(
            """
            INSERT INTO subscribers (email, email_normal, state, tags)
            SELECT name || '@example.org', name || '@example.org', 'unconfirmed', %(tags)s
            FROM unnest(%(names)s::text []) AS name
            RETURNING id
            """,
            names=list(names),
            tags=list(tags),
        )
        ids = [row["id"] for row in rows]
        if confirm:
            tx.run("UPDATE subscribers SET state = 'active', confirmed_at = now() WHERE id = ANY(%(ids)s)", ids=ids)
    return ids


def pass_days(database: Database, days: float) -> None:
    """Let so much time go by for everybody in a sequence, and for emails that were sent."""
    with database.transaction() as tx:
        tx.run(
            """
            UPDATE enrolments
            SET due_at = due_at - make_interval(secs => %(s)s), last_at = last_at - make_interval(secs => %(s)s)
            """,
            s=days * DAY,
        )
        tx.run("UPDATE deliveries SET settled_at = settled_at - make_interval(secs => %(s)s)", s=days * DAY)


def had(database: Database) -> dict[str, list[str]]:
    """The names of the steps that were queued for each subscriber, in order."""
    with database.transaction() as tx:
        rows = tx.all(
            """
            SELECT split_part(email, '@', 1) AS name, sequence_steps.key
            FROM sequence_emails
            JOIN subscribers ON subscribers.id = subscriber_id
            JOIN sequence_steps ON sequence_steps.id = sequence_emails.step_id
            WHERE sequence_emails.send_id IS NOT NULL
            ORDER BY queued_at, sequence_steps.position
            """
        )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(row["key"])
    return found


def ends(database: Database) -> dict[str, str]:
    """Why each subscriber's enrolment ended; "" while it has not."""
    with database.transaction() as tx:
        rows = tx.all(
            "SELECT split_part(email, '@', 1) AS name, end_reason FROM enrolments JOIN subscribers ON id = subscriber_id"
        )
    return {row["name"]: row["end_reason"] for row in rows}
