"""The oldest work of each kind that is due and not done. Each query reads a few rows by an index."""

from __future__ import annotations

from datetime import datetime

from mailer.core.db import Tx

SENDS = "sends"
TRANSACTIONAL = "transactional emails"
EVENTS = "events"
WEBHOOKS = "webhooks"
PAYMENTS = "payments"
BULK_ACTIONS = "bulk actions"

_OLDEST = {
    SENDS: """
        SELECT min(since) FROM (
            SELECT due_at AS since FROM sends WHERE state IN ('scheduled', 'holding') AND due_at <= now()
            UNION ALL
            SELECT greatest(started_at, due_at) FROM sends
            WHERE state = 'sending' AND EXISTS (
                SELECT FROM deliveries
                WHERE send_id = sends.id AND deliveries.state = 'pending' AND deliveries.wave <= sends.open_wave
            )
        ) AS due
    """,
    TRANSACTIONAL: "SELECT created_at FROM transactional_emails WHERE state = 'pending' ORDER BY id LIMIT 1",
    EVENTS: """
        SELECT min(backlog_since) FROM heartbeats
        WHERE kind = 'events' AND stopped_at IS NULL AND seen_at > now() - interval '1 minute'
    """,
    WEBHOOKS: """
        SELECT min(first.due_at)
        FROM webhooks
        CROSS JOIN LATERAL (
            SELECT greatest(due_at, webhooks.paused_until) AS due_at FROM webhook_messages
            WHERE webhook_id = webhooks.id AND state = 'pending' AND due_at <= now()
            ORDER BY webhook_messages.due_at LIMIT 1
        ) AS first
        WHERE webhooks.enabled AND (webhooks.paused_until IS NULL OR webhooks.paused_until <= now())
    """,
    PAYMENTS: """
        SELECT least(
            (SELECT min(due_at) FROM stripe_events WHERE done_at IS NULL AND due_at <= now()),
            (SELECT min(due_at) FROM customer_deletions WHERE done_at IS NULL AND due_at <= now())
        )
    """,
    BULK_ACTIONS: "SELECT min(created_at) FROM bulk_actions WHERE state IN ('not_started', 'in_progress')",
}


def list_oldest(tx: Tx) -> dict[str, datetime]:
    """Return since when the oldest work of each kind has been due; kinds without any are omitted."""
    found = {kind: tx.value(sql) for kind, sql in _OLDEST.items()}
    return {kind: since for kind, since in found.items() if since}
