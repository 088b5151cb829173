"""Rejected messages, counts of events of unknown emails, and the ids of SNS messages processed before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each

_MAX_BODY_CHARS = 65_536


@dataclass(frozen=True)
class RejectedEvent:
    """A message that could not be parsed; ``body`` is its first 65,536 characters and may contain addresses."""

    source: str
    reason: str
    body: str
    times: int
    last_at: datetime


def add(tx: Tx, source: str, reason: str, body: str) -> None:
    """Store a message for the operator; repetitions are counted."""
    plain = body.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    tx.run(
        """
        INSERT INTO rejected_events (digest, source, reason, body)
        VALUES (%(digest)s, %(source)s, %(reason)s, %(body)s)
        ON CONFLICT (digest) DO UPDATE SET times = rejected_events.times + 1, last_at = now(), reason = excluded.reason
        """,
        digest=hashlib.sha256(plain.encode()).digest(),
        source=source,
        reason=reason,
        body=plain[:_MAX_BODY_CHARS],
    )


def delete_oldest(tx: Tx, source: str, most: int) -> None:
    """Delete messages of a source beyond the newest ``most``."""
    tx.run(
        """
        DELETE FROM rejected_events
        WHERE digest IN (
            SELECT digest FROM rejected_events WHERE source = %(source)s ORDER BY last_at DESC, digest OFFSET %(most)s
        )
        """,
        source=source,
        most=most,
    )


def list_newest(tx: Tx, limit: int) -> list[RejectedEvent]:
    """Return rejected messages, latest first."""
    rows = tx.all(
        """
        SELECT source, reason, body, times, last_at
        FROM rejected_events
        ORDER BY last_at DESC, digest
        LIMIT %(limit)s
        """,
        limit=limit,
    )
    return each(rows, RejectedEvent)


def add_unknown(tx: Tx, numbers: Mapping[str, int]) -> None:
    """Count events of emails that are not in the ledger, by kind and day (UTC)."""
    kinds: Sequence[str] = sorted(numbers)
    tx.run(
        """
        INSERT INTO unknown_events (day, kind, number)
        SELECT current_date, kind, number
        FROM unnest(%(kinds)s::text [], %(numbers)s::bigint []) AS counted (kind, number)
        ORDER BY kind
        ON CONFLICT (day, kind) DO UPDATE SET number = unknown_events.number + excluded.number
        """,
        kinds=kinds,
        numbers=[numbers[kind] for kind in kinds],
    )


def count_unknown_by_kind(tx: Tx, age: timedelta) -> dict[str, int]:
    """Return how many events of unknown emails arrived in the last ``age``, by kind."""
    rows = tx.all(
        """
        SELECT kind, sum(number)::bigint AS number
        FROM unknown_events
        WHERE day > (now() - %(age)s)::date
        GROUP BY kind
        ORDER BY kind
        """,
        age=age,
    )
    return {row["kind"]: int(row["number"]) for row in rows}


def remember_sns_id(tx: Tx, sns_id: str, keep_for: timedelta) -> bool:
    """Remember the id of an SNS message; return whether it is new. Also deletes ids older than ``keep_for``."""
    added = tx.run("INSERT INTO sns_messages (id) VALUES (%(id)s) ON CONFLICT DO NOTHING", id=sns_id)
    tx.run(
        """
        DELETE FROM sns_messages
        WHERE id IN (
            SELECT id FROM sns_messages WHERE at < now() - %(keep_for)s ORDER BY at LIMIT 20 FOR UPDATE SKIP LOCKED
        )
        """,
        keep_for=keep_for,
    )
    return bool(added)
