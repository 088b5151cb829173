"""Read-only queries over the whole ledger: counts for metrics, rows for pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class LedgerRow:
    """One delivery. ``since`` is when it entered its state; ``subscriber_state`` is the subscriber's state now."""

    subscriber_id: int
    email: str
    state: str
    since: datetime
    detail: str
    subscriber_state: str


def list_migrations(tx: Tx) -> set[str]:
    """Names of the applied migrations; empty when the database is empty."""
    if tx.value("SELECT to_regclass('schema_migrations')") is None:
        return set()
    return {row["name"] for row in tx.all("SELECT name FROM schema_migrations")}


def list_deliveries(tx: Tx, send_id: int, limit: int, offset: int) -> list[LedgerRow]:
    """Some deliveries of a send, ordered by subscriber."""
    rows = tx.all(
        """
        SELECT
            deliveries.subscriber_id, subscribers.email, deliveries.state,
            coalesce(deliveries.settled_at, deliveries.claimed_at, sends.frozen_at, sends.created_at) AS since,
            deliveries.detail, subscribers.state AS subscriber_state
        FROM deliveries
        JOIN sends ON sends.id = deliveries.send_id
        JOIN subscribers ON subscribers.id = deliveries.subscriber_id
        WHERE deliveries.send_id = %(send_id)s
        ORDER BY deliveries.subscriber_id
        LIMIT %(limit)s OFFSET %(offset)s
        """,
        send_id=send_id,
        limit=limit,
        offset=offset,
    )
    return each(rows, LedgerRow)


def count_sends_by_state(tx: Tx) -> dict[str, int]:
    """How many sends are in each state."""
    return _counts(tx.all("SELECT state, count(*)::int AS number FROM sends GROUP BY state"))


def _counts(rows: list[dict[str, object]]) -> dict[str, int]:
    return {str(row["state"]): int(str(row["number"])) for row in rows}
