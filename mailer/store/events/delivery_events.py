"""Events of deliveries. Rows are only ever added; each event may also advance the delivery's state.

No statement here waits for a row of the ledger that another process has locked: such rows are returned as ``busy`` and
retried, so that events and workers cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each
from mailer.exchange.email_outcomes import rank_sql

DeliveryKey = tuple[int, int]  # send, subscriber


RANK = rank_sql("deliveries")


@dataclass(frozen=True, slots=True)
class DeliveryUpdate:
    """The highest state that events prove for a delivery, its rank, the event, and the reason."""

    send_id: int
    subscriber_id: int
    state: str
    rank: int
    kind: str
    message_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class DeliveryEvent:
    """An event of a delivery. ``at`` is the time that SES reports."""

    send_id: int
    subscriber_id: int
    kind: str
    at: datetime
    subtype: str
    detail: str


@dataclass(frozen=True)
class NewDeliveryEvents:
    """The number of new events, and the subscribers with new bounces and complaints."""

    number: int
    soft: Sequence[int]
    hard: Sequence[int]
    complaints: Sequence[int]
    not_spam: Sequence[int]


def find_by_message_id(tx: Tx, message_ids: Sequence[str]) -> dict[str, DeliveryKey]:
    """Find deliveries by the transport's message id."""
    rows = tx.all(
        "SELECT message_id, send_id, subscriber_id FROM deliveries WHERE message_id = ANY(%(ids)s::text [])",
        ids=list(message_ids),
    )
    return {row["message_id"]: (row["send_id"], row["subscriber_id"]) for row in rows}


def advance(tx: Tx, updates: Sequence[DeliveryUpdate]) -> tuple[set[DeliveryKey], set[DeliveryKey]]:
    """Advance deliveries, never backwards; return which are unknown and which are busy. One update for each delivery.

    Any row of a lower rank changes: also ``claimed`` and ``uncertain`` ones (the response to the call comes later or never),
    and one that was set back to ``pending`` by mistake, which is then not sent again.
    """
    rows = tx.all(
        f"""
        WITH updates AS (
            SELECT * FROM unnest(
                %(sends)s::bigint [], %(subscribers)s::bigint [], %(states)s::text [], %(ranks)s::int [],
                %(kinds)s::text [], %(message_ids)s::text [], %(details)s::text []
            ) AS updates (send_id, subscriber_id, state, rank, kind, message_id, detail)
        ),

        taken AS (
            SELECT deliveries.send_id, deliveries.subscriber_id
            FROM updates
            JOIN deliveries ON deliveries.send_id = updates.send_id AND deliveries.subscriber_id = updates.subscriber_id
            WHERE {RANK} < updates.rank
            ORDER BY deliveries.send_id, deliveries.subscriber_id
            FOR UPDATE OF deliveries SKIP LOCKED
        ),

        moved AS (
            UPDATE deliveries
            SET state = updates.state,
                event_kind = updates.kind,
                detail = updates.detail,
                message_id = coalesce(deliveries.message_id, nullif(updates.message_id, '')),
                settled_at = coalesce(deliveries.settled_at, now())
            FROM taken
            JOIN updates ON updates.send_id = taken.send_id AND updates.subscriber_id = taken.subscriber_id
            WHERE deliveries.send_id = taken.send_id AND deliveries.subscriber_id = taken.subscriber_id
            RETURNING deliveries.send_id, deliveries.subscriber_id
        )

        SELECT updates.send_id, updates.subscriber_id, deliveries.send_id IS NULL AS unknown
        FROM updates
        LEFT JOIN deliveries ON deliveries.send_id = updates.send_id AND deliveries.subscriber_id = updates.subscriber_id
        LEFT JOIN moved ON moved.send_id = updates.send_id AND moved.subscriber_id = updates.subscriber_id
        WHERE deliveries.send_id IS NULL OR (moved.send_id IS NULL AND {RANK} < updates.rank)
        """,
        sends=[one.send_id for one in updates],
        subscribers=[one.subscriber_id for one in updates],
        states=[one.state for one in updates],
        ranks=[one.rank for one in updates],
        kinds=[one.kind for one in updates],
        message_ids=[one.message_id for one in updates],
        details=[one.detail for one in updates],
    )
    unknown = {(row["send_id"], row["subscriber_id"]) for row in rows if row["unknown"]}
    return unknown, {(row["send_id"], row["subscriber_id"]) for row in rows if not row["unknown"]}


# A bounce says nothing about the address that replaced the one that the email went to.
_IS_PRESENT_ADDRESS = "coalesce(deliveries.address_hash = hashtextextended(subscribers.email_normal, 0), true)"


def add(tx: Tx, new_events: Sequence[DeliveryEvent]) -> NewDeliveryEvents:
    """Add events; known ones change nothing."""
    row = tx.one(
        f"""
        WITH fresh AS (
            INSERT INTO delivery_events (send_id, subscriber_id, kind, at, subtype, detail)
            SELECT * FROM unnest(
                %(sends)s::bigint [], %(subscribers)s::bigint [], %(kinds)s::text [], %(moments)s::timestamptz [],
                %(subtypes)s::text [], %(details)s::text []
            ) AS happened (send_id, subscriber_id, kind, at, subtype, detail)
            ORDER BY send_id, subscriber_id, kind, at
            ON CONFLICT DO NOTHING
            RETURNING send_id, subscriber_id, kind
        ),

        found AS (
            SELECT fresh.subscriber_id, fresh.kind, {_IS_PRESENT_ADDRESS} AS bounces_now
            FROM fresh
            JOIN subscribers ON subscribers.id = fresh.subscriber_id
            LEFT JOIN deliveries
                ON deliveries.send_id = fresh.send_id AND deliveries.subscriber_id = fresh.subscriber_id
        )

        SELECT
            count(*)::int AS number,
            coalesce(
                array_agg(DISTINCT subscriber_id) FILTER (
                    WHERE kind IN ('soft bounce', 'general bounce') AND bounces_now
                ), '{{}}'
            ) AS soft,
            coalesce(array_agg(DISTINCT subscriber_id) FILTER (WHERE kind = 'hard bounce' AND bounces_now), '{{}}') AS hard,
            coalesce(array_agg(DISTINCT subscriber_id) FILTER (WHERE kind = 'complaint'), '{{}}') AS complaints,
            coalesce(array_agg(DISTINCT subscriber_id) FILTER (WHERE kind = 'not spam'), '{{}}') AS not_spam
        FROM found
        """,
        sends=[one.send_id for one in new_events],
        subscribers=[one.subscriber_id for one in new_events],
        kinds=[one.kind for one in new_events],
        moments=[one.at for one in new_events],
        subtypes=[one.subtype for one in new_events],
        details=[one.detail for one in new_events],
    )
    assert row
    return NewDeliveryEvents(**row)


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
            AND {_IS_PRESENT_ADDRESS}
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
