"""Standstills that were found, so that the operator gets one notice of each, and one when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Standstill:
    """One that was found and described."""

    name: str
    text: str


def try_lock(tx: Tx) -> bool:
    """Lock out other processes until the transaction ends; return whether none of them has the lock."""
    return bool(tx.value("SELECT pg_try_advisory_xact_lock(hashtext('postmerge.standstills'))"))


def record_seen(tx: Tx, found: Mapping[str, str]) -> None:
    """Record the standstills that exist now, by name. The first description of each stays."""
    if found:
        tx.run(
            """
            INSERT INTO standstills (name, text) SELECT * FROM unnest(%(names)s::text [], %(texts)s::text [])
            ON CONFLICT (name) DO UPDATE SET seen_at = now()
            """,
            names=list(found),
            texts=list(found.values()),
        )


def take_untold(tx: Tx, at_once: list[str], after: timedelta) -> list[Standstill]:
    """Mark as told, and return, those that have lasted for ``after``, or are named in ``at_once``."""
    rows = tx.all(
        """
        UPDATE standstills SET told_at = now()
        WHERE told_at IS NULL AND seen_at = now() AND (name = ANY(%(at_once)s::text []) OR since <= now() - %(after)s)
        RETURNING name, text
        """,
        at_once=at_once,
        after=after,
    )
    return each(rows, Standstill)


def take_ended(tx: Tx, after: timedelta) -> list[Standstill]:
    """Delete those that were not seen for ``after``; return the ones that the operator was told of."""
    rows = tx.all(
        "DELETE FROM standstills WHERE seen_at <= now() - %(after)s RETURNING name, text, told_at IS NOT NULL AS told",
        after=after,
    )
    return [Standstill(row["name"], row["text"]) for row in rows if row["told"]]


def count_open(tx: Tx) -> int:
    """How many standstills were found and are not over."""
    return int(tx.value("SELECT count(*) FROM standstills"))


def list_open(tx: Tx) -> list[Standstill]:
    """The standstills that were found and are not over, oldest first."""
    return each(tx.all("SELECT name, text FROM standstills ORDER BY since, name"), Standstill)


def list_waiting_sends(tx: Tx) -> list[tuple[int, str, str]]:
    """The id, issue key and reason of each active send that waits for something."""
    rows = tx.all(
        """
        SELECT id, issue_key, waiting_reason FROM sends
        WHERE state IN ('scheduled', 'holding', 'sending') AND waiting_reason <> ''
        ORDER BY id
        """
    )
    return [(row["id"], row["issue_key"], row["waiting_reason"]) for row in rows]


def are_sent_events_known(tx: Tx) -> bool:
    """Whether SES has ever reported that it sent an email: it then does so for each within seconds, whatever servers say."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM tallies WHERE kind = 'event' AND key = 'subscriber.sent')"))


def list_sends_without_events(tx: Tx, silences: Mapping[int, timedelta]) -> list[int]:
    """Sends about which no event came: since emails left while they run, or, of those that finished today, at all.

    ``silences``: by the number of accepted emails of which no event was seen, for how long. Emails are counted only after
    such a silence.
    """
    rows = tx.all(
        """
        SELECT DISTINCT sends.id
        FROM sends
        CROSS JOIN unnest(%(numbers)s::integer [], %(silences)s::interval []) AS limits (emails, silence)
        LEFT JOIN LATERAL (
            SELECT at FROM events WHERE send_id = sends.id AND type LIKE 'subscriber.%%' ORDER BY id DESC LIMIT 1
        ) AS latest ON true
        WHERE CASE
            WHEN state = 'sending'
                THEN NOT continuous AND waiting_reason = '' AND greatest(started_at, latest.at) < now() - silence
            WHEN state = 'finished'
                THEN latest.at IS NULL AND finished_at BETWEEN now() - interval '1 day' AND now() - silence
            ELSE false
        END AND (
            SELECT count(*) FROM (
                SELECT FROM deliveries
                WHERE send_id = sends.id AND deliveries.state = 'accepted' AND settled_at < now() - silence
                    AND settled_at > coalesce(latest.at + interval '5 seconds', '-infinity') -- answers and events may cross
                LIMIT emails
            ) AS few
        ) >= emails
        ORDER BY sends.id
        """,
        numbers=list(silences),
        silences=list(silences.values()),
    )
    return [row["id"] for row in rows]


@dataclass(frozen=True)
class QueueSample:
    """How a queue was: for how many seconds its oldest work had been due, and how much waited (None: unknown)."""

    at: datetime
    age: float
    waiting: int | None


def add_sample(tx: Tx, kind: str, due_since: datetime, waiting: int | None, interval: timedelta) -> None:
    """Record how a queue is, unless that was done within ``interval``. Samples of over two minutes ago are forgotten."""
    tx.run("DELETE FROM queue_samples WHERE at < now() - interval '2 minutes'")
    tx.run(
        """
        INSERT INTO queue_samples (kind, at, due_since, waiting)
        SELECT %(kind)s, now(), %(due_since)s, %(waiting)s
        WHERE NOT EXISTS (SELECT FROM queue_samples WHERE kind = %(kind)s AND at > now() - %(interval)s)
        """,
        kind=kind,
        due_since=due_since,
        waiting=waiting,
        interval=interval,
    )


def get_sample(tx: Tx, kind: str, before: timedelta) -> QueueSample | None:
    """Return how a queue was so long before, or up to twice as long; None if it was empty or nobody looked."""
    rows = tx.all(
        """
        SELECT at, extract(epoch FROM at - due_since)::float8 AS age, waiting FROM queue_samples
        WHERE kind = %(kind)s AND at BETWEEN now() - 2 * %(before)s AND now() - %(before)s
        ORDER BY at DESC LIMIT 1
        """,
        kind=kind,
        before=before,
    )
    return each(rows, QueueSample)[0] if rows else None


def claim_ping(tx: Tx, interval: timedelta) -> bool:
    """Record that POSTMERGE_PING_URL is called now; return False if any process did so within ``interval``."""
    return bool(
        tx.run(
            """
            INSERT INTO work_progress (kind, moved_at) VALUES ('ping', now())
            ON CONFLICT (kind) DO UPDATE SET moved_at = now() WHERE work_progress.moved_at <= now() - %(interval)s
            """,
            interval=interval,
        )
    )
