"""Numbers for metrics, each read from few rows: no query scans the deliveries, however many there are."""

from __future__ import annotations

from mailer.core.db import Tx
from mailer.store.operations import due_work

MAX_COUNTED = 10_000  # rows of a queue that are counted; a longer one is reported as this long

_QUEUED = {
    due_work.SENDS: """
        SELECT 1 FROM sends JOIN deliveries ON deliveries.send_id = sends.id
        WHERE sends.state = 'sending' AND deliveries.state = 'pending'
    """,
    due_work.TRANSACTIONAL: "SELECT 1 FROM transactional_emails WHERE state = 'pending'",
    due_work.WEBHOOKS: """
        SELECT 1 FROM webhooks JOIN webhook_messages ON webhook_id = webhooks.id
        WHERE enabled AND webhook_messages.state = 'pending'
    """,
    due_work.PAYMENTS: "SELECT 1 FROM stripe_events WHERE done_at IS NULL AND due_at <= now()",
    due_work.BULK_ACTIONS: "SELECT 1 FROM bulk_actions WHERE state IN ('not_started', 'in_progress')",
}


def count_queued(tx: Tx) -> dict[str, int]:
    """How many rows wait in each queue, at most ``MAX_COUNTED`` of each."""
    return {
        queue: int(tx.value(f"SELECT count(*) FROM ({sql} LIMIT {MAX_COUNTED}) AS queued")) for queue, sql in _QUEUED.items()
    }


def read_counters(tx: Tx, kind: str) -> dict[str, int]:
    """The counters of a kind of tallies (``metric`` or ``event``), by key."""
    rows = tx.all("SELECT key, sum(number)::bigint AS number FROM tallies WHERE kind = %(kind)s GROUP BY key", kind=kind)
    return {row["key"]: int(row["number"]) for row in rows}


def count_standstills(tx: Tx) -> dict[str, int]:
    """How many standstills the operator was told of, by the first word of their name."""
    rows = tx.all(
        "SELECT split_part(name, ' ', 1) AS kind, count(*)::int AS number FROM standstills WHERE told_at IS NOT NULL GROUP BY 1"
    )
    return {row["kind"]: row["number"] for row in rows}


def count_webhooks(tx: Tx) -> dict[str, int]:
    """How many webhooks accept messages, fail (and pause meanwhile), and are disabled."""
    rows = tx.all(
        """
        SELECT CASE WHEN NOT enabled THEN 'disabled' WHEN failing_since IS NULL THEN 'working' ELSE 'failing' END AS state,
            count(*)::int AS number
        FROM webhooks GROUP BY 1
        """
    )
    return {"working": 0, "failing": 0, "disabled": 0, **{row["state"]: row["number"] for row in rows}}
