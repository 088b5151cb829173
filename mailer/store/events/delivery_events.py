"""What the recorded events say about subscribers: soft bounces, complaints, and deliveries that are uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each
from mailer.store.events.ledger_events import IS_PRESENT_ADDRESS


def list_soft_bouncing(tx: Tx, subscriber_ids: Sequence[int], window: timedelta, least: int) -> list[int]:
    """Return which of these subscribers had soft bounces of at least ``least`` sends within ``window``,
    and since a suppression of theirs was lifted. A bounce without a cause does not count if the email was delivered: it may be
    an automatic reply.

    Their rows are locked first: otherwise two concurrent batches could each miss the other's bounce.
    """
    tx.run(
        "SELECT id FROM subscribers WHERE id = ANY(%(ids)s::bigint []) ORDER BY id FOR NO KEY UPDATE", ids=list(subscriber_ids)
    )
    rows = tx.all(
        f"""
        SELECT delivery_events.subscriber_id
        FROM delivery_events
        JOIN subscribers ON subscribers.id = delivery_events.subscriber_id
        LEFT JOIN deliveries
            ON deliveries.send_id = delivery_events.send_id AND deliveries.subscriber_id = delivery_events.subscriber_id
        WHERE kind IN ('soft bounce', 'general bounce') AND at > now() - %(window)s
            AND subscribers.id = ANY(%(ids)s::bigint [])
            AND {IS_PRESENT_ADDRESS}
            AND (kind = 'soft bounce' OR deliveries.state IS DISTINCT FROM 'delivered')
            AND at > coalesce((
                SELECT max(lifted_at) FROM lifted_suppressions
                WHERE lifted_suppressions.email_normal = subscribers.email_normal
            ), '-infinity')
        GROUP BY delivery_events.subscriber_id
        HAVING count(DISTINCT delivery_events.send_id) >= %(least)s
        """,
        ids=list(subscriber_ids),
        window=window,
        least=least,
    )
    return [row["subscriber_id"] for row in rows]


@dataclass(frozen=True)
class ComplaintCount:
    """A subscriber's complaints: how many are open, and how many they took back."""

    subscriber_id: int
    open: int
    withdrawn: int


def count_complaints(tx: Tx, subscriber_ids: Sequence[int]) -> list[ComplaintCount]:
    """Count subscribers' complaints about all their emails; a later "not spam" about the same email takes one back."""
    rows = tx.all(
        """
        WITH reports AS (
            SELECT subscriber_id, 'send ' || send_id AS email, kind, at FROM delivery_events
            WHERE subscriber_id = ANY(%(ids)s::bigint []) AND kind IN ('complaint', 'not spam')
            UNION ALL
            SELECT subscriber_id, 'transactional ' || transactional_emails.id, transactional_email_events.kind, at
            FROM transactional_email_events
            JOIN transactional_emails ON transactional_emails.id = transactional_email_events.email_id
            WHERE subscriber_id = ANY(%(ids)s::bigint []) AND transactional_email_events.kind IN ('complaint', 'not spam')
        ),

        emails AS (
            SELECT
                subscriber_id, email,
                max(at) FILTER (WHERE kind = 'complaint') AS complained, max(at) FILTER (WHERE kind = 'not spam') AS withdrawn
            FROM reports
            GROUP BY subscriber_id, email
        )

        SELECT
            subscriber_id,
            (count(*) FILTER (WHERE complained > coalesce(withdrawn, '-infinity')))::int AS open,
            (count(*) FILTER (WHERE complained <= withdrawn))::int AS withdrawn
        FROM emails
        GROUP BY subscriber_id
        """,
        ids=list(subscriber_ids),
    )
    return each(rows, ComplaintCount)


@dataclass(frozen=True)
class UncertainDelivery:
    """A delivery that is ``uncertain``, with the known facts. ``seen`` lists the kinds of its events, oldest first."""

    send_id: int
    issue_key: str
    subscriber_id: int
    email: str
    since: datetime
    attempts: int
    detail: str
    seen: Sequence[str]


def list_uncertain(tx: Tx, send_id: int | None, subscriber_id: int | None, limit: int) -> list[UncertainDelivery]:
    """Return uncertain deliveries, of one send or of all, newest send first."""
    rows = tx.all(
        """
        SELECT
            deliveries.send_id, sends.issue_key, deliveries.subscriber_id, subscribers.email,
            coalesce(deliveries.claimed_at, deliveries.settled_at) AS since, deliveries.attempts, deliveries.detail,
            ARRAY(
                SELECT delivery_events.kind
                FROM delivery_events
                WHERE delivery_events.send_id = deliveries.send_id
                    AND delivery_events.subscriber_id = deliveries.subscriber_id
                ORDER BY delivery_events.at
            ) AS seen
        FROM deliveries
        JOIN sends ON sends.id = deliveries.send_id
        JOIN subscribers ON subscribers.id = deliveries.subscriber_id
        WHERE deliveries.state = 'uncertain'
            AND deliveries.send_id = coalesce(%(send_id)s, deliveries.send_id)
            AND deliveries.subscriber_id = coalesce(%(subscriber_id)s, deliveries.subscriber_id)
        ORDER BY deliveries.send_id DESC, deliveries.subscriber_id
        LIMIT %(limit)s
        """,
        send_id=send_id,
        subscriber_id=subscriber_id,
        limit=limit,
    )
    return each(rows, UncertainDelivery)


def resolve_uncertain(tx: Tx, send_id: int, subscriber_id: int | None, sent: bool) -> int:
    """Resolve uncertain deliveries as the operator decided: ``accepted``, or ``pending`` again; return how many changed.

    A delivery with any event was accepted by SES, so it is never set back.
    """
    return tx.run(
        """
        UPDATE deliveries
        SET state = CASE WHEN %(sent)s THEN 'accepted' ELSE 'pending' END,
            detail = CASE WHEN %(sent)s THEN 'sent, says the operator' ELSE 'not sent, says the operator' END,
            claimed_at = CASE WHEN %(sent)s THEN claimed_at END,
            claimed_by = CASE WHEN %(sent)s THEN claimed_by END,
            settled_at = CASE WHEN %(sent)s THEN settled_at END
        WHERE state = 'uncertain'
            AND send_id = %(send_id)s
            AND subscriber_id = coalesce(%(subscriber_id)s, subscriber_id)
            AND (
                %(sent)s
                OR NOT EXISTS (
                    SELECT FROM delivery_events
                    WHERE delivery_events.send_id = deliveries.send_id
                        AND delivery_events.subscriber_id = deliveries.subscriber_id
                )
            )
        """,
        send_id=send_id,
        subscriber_id=subscriber_id,
        sent=sent,
    )
