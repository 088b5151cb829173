"""The outbox of webhooks: messages, added by a trigger in their event's transaction, and the attempts to post them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailer.core.db import PageRange, Row, Tx, each, json


@dataclass(frozen=True)
class WebhookMessage:
    """A message that this claim may post."""

    id: int
    webhook_id: int
    event_id: int | None
    type: str
    body: dict[str, Any]
    attempts: int
    created_at: datetime
    url: str
    secret: str
    issue_key: str | None


def claim(tx: Tx, size: int, lease: timedelta) -> list[WebhookMessage]:
    """Claim due messages, the first of each webhook before the second of any; those of a lost worker after the lease.

    A paused webhook's messages are not read, and of another one's only as many as it may have in flight.
    """
    tx.run(
        """
        UPDATE webhook_messages SET state = 'pending'
        WHERE id IN (
            SELECT id FROM webhook_messages WHERE state = 'claimed' AND claimed_at < now() - %(lease)s
            FOR UPDATE SKIP LOCKED
        )
        """,
        lease=lease,
    )
    return each(tx.all(CLAIM, size=size), WebhookMessage)


_READY = """
    SELECT webhooks.id, webhooks.max_in_flight - in_flight.number AS free
    FROM webhooks
    CROSS JOIN LATERAL (
        SELECT count(*) AS number FROM webhook_messages WHERE webhook_id = webhooks.id AND state = 'claimed'
    ) AS in_flight
    WHERE webhooks.enabled AND (webhooks.paused_until IS NULL OR webhooks.paused_until <= now())
"""

CLAIM = f"""
    WITH ready AS ({_READY}),

    picked AS (
        SELECT due.id
        FROM ready
        CROSS JOIN LATERAL (
            SELECT id, due_at, row_number() OVER (ORDER BY due_at, id) AS place
            FROM (
                SELECT id, due_at FROM webhook_messages
                WHERE webhook_id = ready.id AND state = 'pending' AND due_at <= now()
                ORDER BY due_at LIMIT greatest(ready.free, 0)
                FOR UPDATE SKIP LOCKED
            ) AS first
        ) AS due
        ORDER BY due.place, due.due_at LIMIT %(size)s
    )

    UPDATE webhook_messages AS taken
    SET state = 'claimed', claimed_at = now(), attempts = attempts + 1
    FROM webhooks
    WHERE taken.id = ANY(ARRAY(SELECT id FROM picked)) AND webhooks.id = taken.webhook_id
    RETURNING taken.id, taken.webhook_id, taken.event_id, taken.type, taken.body, taken.attempts, taken.created_at,
        webhooks.url, webhooks.secret,
        (SELECT issue_key FROM sends WHERE sends.id = (taken.body ->> 'send')::bigint) AS issue_key
"""


def settle(
    tx: Tx, message_id: int, status: int | None, error: str, milliseconds: int, again_at: datetime | None, failed: bool
) -> None:
    """Record an attempt; the message is then delivered, due again, or failed permanently."""
    state = "failed" if failed else "pending" if again_at else "delivered"
    tx.run(
        """
        INSERT INTO webhook_attempts (message_id, milliseconds, status, error)
        VALUES (%(id)s, %(milliseconds)s, %(status)s, %(error)s)
        """,
        id=message_id,
        milliseconds=milliseconds,
        status=status,
        error=error[:300],
    )
    tx.run(
        """
        UPDATE webhook_messages
        SET state = %(state)s, due_at = coalesce(%(again_at)s, due_at), claimed_at = NULL,
            settled_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE now() END
        WHERE id = %(id)s
        """,
        id=message_id,
        state=state,
        again_at=again_at,
    )


def record_success(tx: Tx, webhook_id: int, max_in_flight: int) -> None:
    """Record that the target accepted a message: it may have ``max_in_flight`` of them at a time."""
    tx.run(
        """
        UPDATE webhooks SET failing_since = NULL, paused_until = NULL, max_in_flight = %(most)s
        WHERE id = %(id)s AND (failing_since IS NOT NULL OR max_in_flight <> %(most)s)
        """,
        id=webhook_id,
        most=max_in_flight,
    )


def record_failure(tx: Tx, webhook_id: int, pauses: tuple[timedelta, timedelta]) -> None:
    """Record a failure. From the second in a row, the webhook pauses: half the time it has been failing, within ``pauses``."""
    tx.run(
        """
        UPDATE webhooks
        SET failing_since = coalesce(failing_since, now()),
            max_in_flight = 1,
            paused_until = CASE
                WHEN failing_since IS NOT NULL
                    THEN now() + least(greatest((now() - failing_since) / 2, %(shortest)s), %(longest)s)
            END
        WHERE id = %(id)s
        """,
        id=webhook_id,
        shortest=pauses[0],
        longest=pauses[1],
    )


def disable_dead(tx: Tx, webhook_id: int, patience: timedelta, gone: bool) -> str | None:
    """Disable a webhook whose target failed for too long, or is gone; return its URL if it was enabled."""
    found = tx.value(
        """
        UPDATE webhooks SET enabled = false, disabled_reason = 'no message was accepted for too long'
        WHERE id = %(id)s AND enabled AND (%(gone)s OR failing_since < now() - %(patience)s)
        RETURNING url
        """,
        id=webhook_id,
        gone=gone,
        patience=patience,
    )
    return str(found) if found else None


def end_pause(tx: Tx, webhook_id: int) -> None:
    """Let a paused webhook's messages be posted now."""
    tx.run("UPDATE webhooks SET paused_until = NULL WHERE id = %(id)s AND paused_until IS NOT NULL", id=webhook_id)


def add_test_message(tx: Tx, webhook_id: int, kind: str) -> int:
    """Add a test message, which no event caused; return its id."""
    return int(
        tx.value(
            "INSERT INTO webhook_messages (webhook_id, type, body) VALUES (%(id)s, %(type)s, %(body)s) RETURNING id",
            id=webhook_id,
            type=kind,
            body=json({"test": True}),
        )
    )


def replay(tx: Tx, webhook_id: int, ids: Sequence[int]) -> int:
    """Make these messages of a webhook due again, whatever their state; return how many."""
    return tx.run(
        """
        UPDATE webhook_messages SET state = 'pending', due_at = now(), attempts = 0, settled_at = NULL
        WHERE webhook_id = %(webhook_id)s AND id = ANY(%(ids)s::bigint []) AND state <> 'claimed'
        """,
        webhook_id=webhook_id,
        ids=list(ids),
    )


def list_failed_ids(tx: Tx, webhook_id: int) -> list[int]:
    """Return the ids of a webhook's messages that failed permanently."""
    rows = tx.all("SELECT id FROM webhook_messages WHERE webhook_id = %(id)s AND state = 'failed'", id=webhook_id)
    return [row["id"] for row in rows]


def list_page(tx: Tx, webhook_id: int, states: Sequence[str], page: PageRange) -> tuple[list[Row], int]:
    """Return a page of a webhook's messages with their last attempt, newest first, and the total number."""
    behind = "AND webhook_messages.id < %(after)s" if page.after is not None else ""
    rows = tx.all(
        f"""
        SELECT webhook_messages.*, last.error, last.milliseconds
        FROM webhook_messages
        LEFT JOIN LATERAL (
            SELECT * FROM webhook_attempts WHERE message_id = webhook_messages.id ORDER BY id DESC LIMIT 1
        ) AS last ON true
        WHERE webhook_id = %(id)s AND state = ANY(%(states)s::text []) {behind}
        ORDER BY webhook_messages.id DESC LIMIT %(limit)s OFFSET %(offset)s
        """,
        id=webhook_id,
        states=list(states),
        **vars(page),
    )
    count = tx.value(
        "SELECT count(*) FROM webhook_messages WHERE webhook_id = %(id)s AND state = ANY(%(states)s::text [])",
        id=webhook_id,
        states=list(states),
    )
    return rows, int(count)


def has_work(tx: Tx, lease: timedelta) -> bool:
    """Return whether ``claim`` would find a message. A paused or busy webhook's messages are not read."""
    return bool(
        tx.value(
            f"""
            SELECT EXISTS (
                SELECT FROM ({_READY}) AS ready
                WHERE ready.free > 0 AND EXISTS (
                    SELECT FROM webhook_messages WHERE webhook_id = ready.id AND state = 'pending' AND due_at <= now()
                )
            ) OR EXISTS (
                SELECT FROM webhook_messages JOIN webhooks ON webhooks.id = webhook_id AND webhooks.enabled
                WHERE webhook_messages.state = 'claimed' AND claimed_at < now() - %(lease)s
            )
            """,
            lease=lease,
        )
    )
