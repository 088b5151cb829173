"""Sequences and their steps as last published, and the continuous send of each step, to which deliveries are added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.core.db import Tx, each
from mailer.core.edition import Edition, SequenceRules
from mailer.store.sending.sends import SendState, SendTerms


class SequenceState(StrEnum):
    """Whether steps are queued; ``stopped`` by the operator, ``removed`` with its files."""

    RUNNING = "running"
    STOPPED = "stopped"
    REMOVED = "removed"


@dataclass(frozen=True)
class StoredSequence:
    """A sequence as last published; ``backfilled_at``: when the existing subscribers were enrolled."""

    id: int
    name: str
    trigger: str
    tag: str
    audience: str
    stop: str
    stop_when_paid: bool
    hours: str
    zone: str
    state: SequenceState
    backfilled_at: datetime | None


@dataclass(frozen=True)
class StoredStep:
    """A step as last published. ``send_id`` and ``edition_id`` are of its continuous send, None when it has been removed."""

    id: int
    sequence_id: int
    key: str
    position: int
    after: timedelta
    is_removed: bool
    send_id: int | None
    edition_id: int | None
    send_state: SendState | None
    sender: str | None
    reply_to: str | None
    audience_size: int | None


def list_all(tx: Tx) -> list[StoredSequence]:
    """Return all sequences by name, the removed ones too."""
    rows = tx.all(
        """
        SELECT id, name, trigger, tag, audience, stop, stop_when_paid, hours, zone, state, backfilled_at
        FROM sequences ORDER BY name
        """
    )
    return each([{**row, "state": SequenceState(row["state"])} for row in rows], StoredSequence)


def list_steps(tx: Tx, sequence_id: int) -> list[StoredStep]:
    """Return the steps of a sequence in their order, the removed ones too."""
    rows = tx.all(
        """
        SELECT
            sequence_steps.id, sequence_id, key, position, after, removed_at IS NOT NULL AS is_removed,
            sends.id AS send_id, sends.edition_id, sends.state AS send_state, sends.sender, sends.reply_to,
            sends.audience_size
        FROM sequence_steps LEFT JOIN sends ON sends.step_id = sequence_steps.id AND sends.continuous
        WHERE sequence_id = %(id)s
        ORDER BY position, sequence_steps.id
        """,
        id=sequence_id,
    )
    states = [row["send_state"] and SendState(row["send_state"]) for row in rows]
    return each([{**row, "send_state": state} for row, state in zip(rows, states, strict=True)], StoredStep)


def save(tx: Tx, rules: SequenceRules) -> int:
    """Store a sequence as it is now and return its id; one that was removed runs again, a stopped one stays stopped."""
    return int(
        tx.value(
            """
            INSERT INTO sequences (name, trigger, tag, audience, stop, stop_when_paid, hours, zone)
            VALUES (%(name)s, %(trigger)s, %(tag)s, %(audience)s, %(stop)s, %(stop_when_paid)s, %(hours)s, %(zone)s)
            ON CONFLICT (name) DO UPDATE SET
                trigger = excluded.trigger, tag = excluded.tag, audience = excluded.audience, stop = excluded.stop,
                stop_when_paid = excluded.stop_when_paid, hours = excluded.hours, zone = excluded.zone,
                state = CASE WHEN sequences.state = 'removed' THEN 'running' ELSE sequences.state END
            RETURNING id
            """,
            **{name: value for name, value in vars(rules).items() if name != "backfill"},
        )
    )


def save_step(tx: Tx, sequence_id: int, key: str, position: int, after: timedelta) -> int:
    """Store a step as it is now; return its id."""
    return int(
        tx.value(
            """
            INSERT INTO sequence_steps (sequence_id, key, position, after)
            VALUES (%(sequence_id)s, %(key)s, %(position)s, %(after)s)
            ON CONFLICT (sequence_id, key) DO UPDATE SET
                position = excluded.position, after = excluded.after, removed_at = NULL
            RETURNING id
            """,
            sequence_id=sequence_id,
            key=key,
            position=position,
            after=after,
        )
    )


def remove_step(tx: Tx, step_id: int) -> None:
    """Take a step out of its sequence; its send ends when what is queued has been sent."""
    tx.run("UPDATE sequence_steps SET removed_at = coalesce(removed_at, now()) WHERE id = %(id)s", id=step_id)
    close_continuous(tx, step_id)


def set_state(tx: Tx, name: str, state: SequenceState) -> bool:
    """Set the state of a sequence that was not removed, or with ``removed`` of any; return whether there is one."""
    statement = "UPDATE sequences SET state = %(state)s WHERE name = %(name)s AND (state <> 'removed' OR %(state)s = 'removed')"
    return bool(tx.run(statement, name=name, state=state))


def stop_all(tx: Tx) -> list[str]:
    """Stop all running sequences; return their names."""
    return [row["name"] for row in tx.all("UPDATE sequences SET state = 'stopped' WHERE state = 'running' RETURNING name")]


def set_backfilled(tx: Tx, sequence_id: int) -> None:
    """Record that the existing subscribers were enrolled."""
    tx.run("UPDATE sequences SET backfilled_at = now() WHERE id = %(id)s", id=sequence_id)


def save_issue(tx: Tx, key: str, edition: Edition) -> None:
    """Store what editions and sends of a step refer to: a row among the issues that is not an issue."""
    tx.run(
        """
        INSERT INTO issues (key, path, title, dated, digest, url, is_step)
        VALUES (%(key)s, %(path)s, %(title)s, %(dated)s, %(digest)s, %(url)s, true)
        ON CONFLICT (key) DO UPDATE SET
            path = excluded.path, title = excluded.title, digest = excluded.digest, url = excluded.url, last_seen_at = now()
        """,
        key=key,
        path=edition.path,
        title=edition.title,
        dated=edition.dated,
        digest=edition.digest,
        url=edition.url,
    )


@dataclass(frozen=True)
class LatestIssue:
    """The issue that was sent last to everyone, and from whom."""

    issue_key: str
    edition_id: int
    sender: str
    reply_to: str


def find_latest_issue(tx: Tx) -> LatestIssue | None:
    """Return the issue whose send to everyone began last, if it is going out or has gone out; its audience is frozen."""
    row = tx.one(
        """
        SELECT issue_key, edition_id, sender, coalesce(reply_to, '') AS reply_to
        FROM sends
        WHERE step_id IS NULL AND audience = 'everyone' AND state IN ('sending', 'finished') AND started_at IS NOT NULL
        ORDER BY started_at DESC, id DESC LIMIT 1
        """
    )
    return LatestIssue(**row) if row else None


def save_latest_issue(tx: Tx, key: str, issue_key: str) -> None:
    """Store what sends of the step with the last issue refer to: a copy of the issue's row that is not an issue."""
    tx.run(
        """
        INSERT INTO issues (key, path, title, dated, digest, url, is_step)
        SELECT %(key)s, path, title, dated, digest, url, true FROM issues WHERE key = %(issue_key)s
        ON CONFLICT (key) DO UPDATE SET
            path = excluded.path, title = excluded.title, digest = excluded.digest, url = excluded.url, last_seen_at = now()
        """,
        key=key,
        issue_key=issue_key,
    )


def next_number(tx: Tx, key: str) -> int:
    """Return the number of the next send of a step."""
    return int(tx.value("SELECT coalesce(max(edition_number), 0) + 1 FROM sends WHERE issue_key = %(key)s", key=key))


def open_continuous(tx: Tx, step_id: int, key: str, number: int, terms: SendTerms) -> int:
    """Create the send to which a step's deliveries are added from now on; return its id. The one before it is closed."""
    close_continuous(tx, step_id)
    return int(
        tx.value(
            """
            INSERT INTO sends (
                issue_key, edition_number, edition_id, state, sender, reply_to, audience, audience_size, due_at,
                frozen_at, started_at, step_id, continuous
            )
            VALUES (
                %(key)s, %(number)s, %(edition_id)s, %(state)s, %(sender)s, %(reply_to)s, %(audience)s, 0, %(due_at)s,
                now(), now(), %(step_id)s, true
            )
            RETURNING id
            """,
            key=key,
            number=number,
            step_id=step_id,
            **vars(terms),
        )
    )


def close_continuous(tx: Tx, step_id: int) -> None:
    """Add no more deliveries to a step's send: it ends when they are settled, or at once without any."""
    tx.run("UPDATE sends SET continuous = false WHERE step_id = %(id)s AND continuous", id=step_id)


def rotate_continuous(tx: Tx, step_id: int, send_id: int) -> None:
    """Replace the continuous send of a step by a new one of the same edition, so that none grows without end."""
    close_continuous(tx, step_id)
    tx.run(
        """
        INSERT INTO sends (
            issue_key, edition_number, edition_id, state, reason, sender, reply_to, audience, audience_size, due_at,
            frozen_at, started_at, step_id, continuous
        )
        SELECT
            issue_key, (SELECT max(edition_number) + 1 FROM sends AS others WHERE others.issue_key = sends.issue_key),
            edition_id, state, reason, sender, reply_to, audience, 0, now(), now(), now(), step_id, true
        FROM sends
        WHERE id = %(send_id)s
        """,
        send_id=send_id,
    )
