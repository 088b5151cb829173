"""Events of transactional emails: like those of deliveries, in separate tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx
from mailer.store.events.delivery_events import rank_sql

_RANK = rank_sql("transactional_mails")


@dataclass(frozen=True, slots=True)
class TransactionalUpdate:
    """The highest state that events prove for an email."""

    mail_id: int
    state: str
    rank: int
    message_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class TransactionalEvent:
    """An event of an email. ``at`` is the time that SES reports."""

    mail_id: int
    kind: str
    at: datetime
    subtype: str
    detail: str


@dataclass(frozen=True)
class NewTransactionalEvents:
    """The number of new events, and the subscribers with new hard bounces and complaints.

    ``hard_to`` and ``complaints_to`` are instead the addresses of emails that went to another address than the subscriber's.
    """

    number: int
    hard: Sequence[int]
    complaints: Sequence[int]
    hard_to: Sequence[str]
    complaints_to: Sequence[str]


def find_by_message_id(tx: Tx, message_ids: Sequence[str]) -> dict[str, int]:
    """Find emails by the transport's message id."""
    rows = tx.all(
        "SELECT message_id, id FROM transactional_mails WHERE message_id = ANY(%(ids)s::text [])", ids=list(message_ids)
    )
    return {row["message_id"]: row["id"] for row in rows}


def advance(tx: Tx, updates: Sequence[TransactionalUpdate]) -> tuple[set[int], set[int]]:
    """Advance emails, never backwards; return which are unknown and which are busy. One update for each email."""
    rows = tx.all(
        f"""
        WITH updates AS (
            SELECT * FROM unnest(
                %(ids)s::bigint [], %(states)s::text [], %(ranks)s::int [], %(message_ids)s::text [], %(details)s::text []
            ) AS updates (id, state, rank, message_id, detail)
        ),

        taken AS (
            SELECT transactional_mails.id
            FROM updates
            JOIN transactional_mails ON transactional_mails.id = updates.id
            WHERE {_RANK} < updates.rank
            ORDER BY transactional_mails.id
            FOR UPDATE OF transactional_mails SKIP LOCKED
        ),

        moved AS (
            UPDATE transactional_mails
            SET state = updates.state,
                detail = updates.detail,
                message_id = coalesce(transactional_mails.message_id, nullif(updates.message_id, '')),
                settled_at = coalesce(transactional_mails.settled_at, now())
            FROM taken
            JOIN updates ON updates.id = taken.id
            WHERE transactional_mails.id = taken.id
            RETURNING transactional_mails.id
        )

        SELECT updates.id, transactional_mails.id IS NULL AS unknown
        FROM updates
        LEFT JOIN transactional_mails ON transactional_mails.id = updates.id
        LEFT JOIN moved ON moved.id = updates.id
        WHERE transactional_mails.id IS NULL OR (moved.id IS NULL AND {_RANK} < updates.rank)
        """,
        ids=[one.mail_id for one in updates],
        states=[one.state for one in updates],
        ranks=[one.rank for one in updates],
        message_ids=[one.message_id for one in updates],
        details=[one.detail for one in updates],
    )
    return {row["id"] for row in rows if row["unknown"]}, {row["id"] for row in rows if not row["unknown"]}


def add(tx: Tx, new_events: Sequence[TransactionalEvent]) -> NewTransactionalEvents:
    """Add events; known ones change nothing."""
    row = tx.one(
        """
        WITH fresh AS (
            INSERT INTO transactional_mail_events (mail_id, kind, at, subtype, detail)
            SELECT * FROM unnest(
                %(ids)s::bigint [], %(kinds)s::text [], %(moments)s::timestamptz [], %(subtypes)s::text [],
                %(details)s::text []
            ) AS happened (mail_id, kind, at, subtype, detail)
            ORDER BY mail_id, kind, at
            ON CONFLICT DO NOTHING
            RETURNING mail_id, kind
        )

        SELECT
            count(*)::int AS number,
            coalesce(array_agg(subscriber_id) FILTER (WHERE fresh.kind = 'hard bounce' AND NOT facts ? 'to'), '{}') AS hard,
            coalesce(array_agg(subscriber_id) FILTER (WHERE fresh.kind = 'complaint' AND NOT facts ? 'to'), '{}') AS complaints,
            coalesce(array_agg(facts ->> 'to') FILTER (WHERE fresh.kind = 'hard bounce' AND facts ? 'to'), '{}') AS hard_to,
            coalesce(array_agg(facts ->> 'to') FILTER (WHERE fresh.kind = 'complaint' AND facts ? 'to'), '{}') AS complaints_to
        FROM fresh
        JOIN transactional_mails ON transactional_mails.id = fresh.mail_id
        """,
        ids=[one.mail_id for one in new_events],
        kinds=[one.kind for one in new_events],
        moments=[one.at for one in new_events],
        subtypes=[one.subtype for one in new_events],
        details=[one.detail for one in new_events],
    )
    assert row
    return NewTransactionalEvents(**row)
