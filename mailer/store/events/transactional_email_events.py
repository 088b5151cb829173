"""Events of transactional mails: like those of deliveries, in tables of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx

_RANK = """
    CASE transactional_mails.state
        WHEN 'complained' THEN 6
        WHEN 'bounced' THEN CASE WHEN transactional_mails.detail LIKE 'hard%%' THEN 5 ELSE 4 END
        WHEN 'delivered' THEN 3
        WHEN 'failed' THEN 2
        WHEN 'accepted' THEN 1
        ELSE 0
    END
"""


@dataclass(frozen=True, slots=True)
class TransactionalUpdate:
    """The most that is known now about one mail."""

    mail_id: int
    state: str
    rank: int
    message_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class TransactionalEvent:
    """One event of one mail. ``at`` is the outside's time."""

    mail_id: int
    kind: str
    at: datetime
    subtype: str
    detail: str


@dataclass(frozen=True)
class NewTransactionalEvents:
    """How many events were new, and the readers of whom something bad is new."""

    number: int
    hard: Sequence[int]
    complaints: Sequence[int]


def find_by_message_id(tx: Tx, message_ids: Sequence[str]) -> dict[str, int]:
    """Mails by the transport's id of the message."""
    rows = tx.all(
        "SELECT message_id, id FROM transactional_mails WHERE message_id = ANY(%(ids)s::text [])", ids=list(message_ids)
    )
    return {row["message_id"]: row["id"] for row in rows}


def advance(tx: Tx, news: Sequence[TransactionalUpdate]) -> tuple[set[int], set[int]]:
    """Move mails forward, never back; which are unknown, and which are busy. One row of ``news`` for a mail."""
    rows = tx.all(
        f"""
        WITH news AS (
            SELECT * FROM unnest(
                %(ids)s::bigint [], %(states)s::text [], %(ranks)s::int [], %(message_ids)s::text [], %(details)s::text []
            ) AS news (id, state, rank, message_id, detail)
        ),

        taken AS (
            SELECT transactional_mails.id
            FROM news
            JOIN transactional_mails ON transactional_mails.id = news.id
            WHERE {_RANK} < news.rank
            ORDER BY transactional_mails.id
            FOR UPDATE OF transactional_mails SKIP LOCKED
        ),

        moved AS (
            UPDATE transactional_mails
            SET state = news.state,
                detail = news.detail,
                message_id = coalesce(transactional_mails.message_id, nullif(news.message_id, '')),
                settled_at = coalesce(transactional_mails.settled_at, now())
            FROM taken
            JOIN news ON news.id = taken.id
            WHERE transactional_mails.id = taken.id
            RETURNING transactional_mails.id
        )

        SELECT news.id, transactional_mails.id IS NULL AS unknown
        FROM news
        LEFT JOIN transactional_mails ON transactional_mails.id = news.id
        LEFT JOIN moved ON moved.id = news.id
        WHERE transactional_mails.id IS NULL OR (moved.id IS NULL AND {_RANK} < news.rank)
        """,
        ids=[one.mail_id for one in news],
        states=[one.state for one in news],
        ranks=[one.rank for one in news],
        message_ids=[one.message_id for one in news],
        details=[one.detail for one in news],
    )
    return {row["id"] for row in rows if row["unknown"]}, {row["id"] for row in rows if not row["unknown"]}


def add(tx: Tx, happenings: Sequence[TransactionalEvent]) -> NewTransactionalEvents:
    """Write events down; those that are written already change nothing."""
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
            coalesce(array_agg(subscriber_id) FILTER (WHERE fresh.kind = 'hard bounce'), '{}') AS hard,
            coalesce(array_agg(subscriber_id) FILTER (WHERE fresh.kind = 'complaint'), '{}') AS complaints
        FROM fresh
        JOIN transactional_mails ON transactional_mails.id = fresh.mail_id
        """,
        ids=[one.mail_id for one in happenings],
        kinds=[one.kind for one in happenings],
        moments=[one.at for one in happenings],
        subtypes=[one.subtype for one in happenings],
        details=[one.detail for one in happenings],
    )
    assert row
    return NewTransactionalEvents(**row)
