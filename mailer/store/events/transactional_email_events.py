"""Events of transactional emails: like those of deliveries, in separate tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx
from mailer.exchange.email_outcomes import rank_sql

_RANK = rank_sql("transactional_emails")


@dataclass(frozen=True, slots=True)
class TransactionalUpdate:
    """The highest state that events prove for an email."""

    email_id: int
    state: str
    rank: int
    kind: str
    message_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class TransactionalEvent:
    """An event of an email. ``at`` is the time that SES reports."""

    email_id: int
    kind: str
    at: datetime
    subtype: str
    detail: str


@dataclass(frozen=True)
class NewTransactionalEvents:
    """The number of new events, and the subscribers with new hard bounces, complaints and complaints taken back.

    ``hard_to`` and ``complaints_to`` are instead the addresses of emails that went to another address than the subscriber's.
    """

    number: int
    hard: Sequence[int]
    complaints: Sequence[int]
    not_spam: Sequence[int]
    hard_to: Sequence[str]
    complaints_to: Sequence[str]


def find_by_message_id(tx: Tx, message_ids: Sequence[str]) -> dict[str, int]:
    """Find emails by the transport's message id."""
    rows = tx.all(
        "SELECT message_id, id FROM transactional_emails WHERE message_id = ANY(%(ids)s::text [])", ids=list(message_ids)
    )
    return {row["message_id"]: row["id"] for row in rows}


def advance(tx: Tx, updates: Sequence[TransactionalUpdate]) -> tuple[set[int], set[int]]:
    """Advance emails, never backwards; return which are unknown and which are busy. One update for each email."""
    rows = tx.all(
        f"""
        WITH updates AS (
            SELECT * FROM unnest(
                %(ids)s::bigint [], %(states)s::text [], %(ranks)s::int [], %(kinds)s::text [], %(message_ids)s::text [],
                %(details)s::text []
            ) AS updates (id, state, rank, kind, message_id, detail)
        ),

        taken AS (
            SELECT transactional_emails.id
            FROM updates
            JOIN transactional_emails ON transactional_emails.id = updates.id
            WHERE {_RANK} < updates.rank
            ORDER BY transactional_emails.id
            FOR UPDATE OF transactional_emails SKIP LOCKED
        ),

        moved AS (
            UPDATE transactional_emails
            SET state = updates.state,
                event_kind = updates.kind,
                detail = updates.detail,
                message_id = coalesce(transactional_emails.message_id, nullif(updates.message_id, '')),
                settled_at = coalesce(transactional_emails.settled_at, now())
            FROM taken
            JOIN updates ON updates.id = taken.id
            WHERE transactional_emails.id = taken.id
            RETURNING transactional_emails.id
        )

        SELECT updates.id, transactional_emails.id IS NULL AS unknown
        FROM updates
        LEFT JOIN transactional_emails ON transactional_emails.id = updates.id
        LEFT JOIN moved ON moved.id = updates.id
        WHERE transactional_emails.id IS NULL OR (moved.id IS NULL AND {_RANK} < updates.rank)
        """,
        ids=[one.email_id for one in updates],
        states=[one.state for one in updates],
        ranks=[one.rank for one in updates],
        kinds=[one.kind for one in updates],
        message_ids=[one.message_id for one in updates],
        details=[one.detail for one in updates],
    )
    return {row["id"] for row in rows if row["unknown"]}, {row["id"] for row in rows if not row["unknown"]}


def add(tx: Tx, new_events: Sequence[TransactionalEvent]) -> NewTransactionalEvents:
    """Add events; known ones change nothing."""
    row = tx.one(
        """
        WITH fresh AS (
            INSERT INTO transactional_email_events (email_id, kind, at, subtype, detail)
            SELECT * FROM unnest(
                %(ids)s::bigint [], %(kinds)s::text [], %(moments)s::timestamptz [], %(subtypes)s::text [],
                %(details)s::text []
            ) AS happened (email_id, kind, at, subtype, detail)
            ORDER BY email_id, kind, at
            ON CONFLICT DO NOTHING
            RETURNING email_id, kind
        )

        SELECT
            count(*)::int AS number,
            coalesce(array_agg(subscriber_id) FILTER (
                WHERE fresh.kind = 'hard bounce' AND NOT facts ? 'to' AND NOT EXISTS (
                    SELECT FROM consents -- a bounce says nothing about an address that replaced the one it came from
                    WHERE consents.subscriber_id = transactional_emails.subscriber_id
                        AND consents.kind = 'address' AND consents.at > transactional_emails.created_at
                )
            ), '{}') AS hard,
            coalesce(array_agg(subscriber_id) FILTER (WHERE fresh.kind = 'complaint' AND NOT facts ? 'to'), '{}') AS complaints,
            coalesce(array_agg(subscriber_id) FILTER (WHERE fresh.kind = 'not spam' AND NOT facts ? 'to'), '{}') AS not_spam,
            coalesce(array_agg(facts ->> 'to') FILTER (WHERE fresh.kind = 'hard bounce' AND facts ? 'to'), '{}') AS hard_to,
            coalesce(array_agg(facts ->> 'to') FILTER (WHERE fresh.kind = 'complaint' AND facts ? 'to'), '{}') AS complaints_to
        FROM fresh
        JOIN transactional_emails ON transactional_emails.id = fresh.email_id
        """,
        ids=[one.email_id for one in new_events],
        kinds=[one.kind for one in new_events],
        moments=[one.at for one in new_events],
        subtypes=[one.subtype for one in new_events],
        details=[one.detail for one in new_events],
    )
    assert row
    return NewTransactionalEvents(**row)
