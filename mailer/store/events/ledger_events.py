"""Events of emails in the two ledgers, deliveries and transactional emails.

Rows of events are only ever added; each event may also advance its email's state. No statement here waits for a row of a ledger
that another process has locked: such rows are returned as ``busy`` and retried, so that events and workers cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx
from mailer.exchange.email_outcomes import rank_sql

EmailKey = tuple[int, ...]  # the send and the subscriber of a delivery, or the id of a transactional email

# A bounce says nothing about the address that replaced the one that the email went to.
IS_PRESENT_ADDRESS = "coalesce(deliveries.address_hash = hashtextextended(subscribers.email_normal, 0), true)"


@dataclass(frozen=True)
class LedgerTables:
    """A table of emails and that of their events, with the columns that identify an email in each.

    ``owners`` selects whom new events (``fresh``) are about: ``subscriber_id``, ``address`` for an email to another address
    than the subscriber's, ``kind``, and ``counts``, whether a bounce counts against the subscriber.
    """

    table: str
    key: tuple[str, ...]
    events: str
    events_key: tuple[str, ...]
    owners: str


DELIVERIES = LedgerTables(
    "deliveries",
    ("send_id", "subscriber_id"),
    "delivery_events",
    ("send_id", "subscriber_id"),
    f"""
        SELECT fresh.subscriber_id, NULL::text AS address, fresh.kind, {IS_PRESENT_ADDRESS} AS counts
        FROM fresh
        JOIN subscribers ON subscribers.id = fresh.subscriber_id
        LEFT JOIN deliveries ON deliveries.send_id = fresh.send_id AND deliveries.subscriber_id = fresh.subscriber_id
    """,
)
TRANSACTIONAL = LedgerTables(
    "transactional_emails",
    ("id",),
    "transactional_email_events",
    ("email_id",),
    """
        SELECT
            subscriber_id, facts ->> 'to' AS address, fresh.kind,
            fresh.kind = 'hard bounce' AND NOT EXISTS (
                SELECT FROM consents -- a bounce says nothing about an address that replaced the one it came from
                WHERE consents.subscriber_id = transactional_emails.subscriber_id
                    AND consents.kind = 'address' AND consents.at > transactional_emails.created_at
            ) AS counts
        FROM fresh
        JOIN transactional_emails ON transactional_emails.id = fresh.email_id
    """,
)


@dataclass(frozen=True, slots=True)
class LedgerUpdate:
    """The highest state that events prove for an email, its rank, the event, and the reason."""

    key: EmailKey
    state: str
    rank: int
    kind: str
    message_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """An event of an email. ``at`` is the time that SES reports."""

    key: EmailKey
    kind: str
    at: datetime
    subtype: str
    detail: str


@dataclass(frozen=True)
class NewEvents:
    """The number of new events, and the subscribers with new bounces, complaints, and complaints taken back.

    ``hard_to`` and ``complaints_to`` are instead the addresses of emails that went to another address than the subscriber's.
    """

    number: int
    soft: Sequence[int]
    hard: Sequence[int]
    complaints: Sequence[int]
    not_spam: Sequence[int]
    hard_to: Sequence[str]
    complaints_to: Sequence[str]


def find_by_message_id(tx: Tx, ledger: LedgerTables, message_ids: Sequence[str]) -> dict[str, EmailKey]:
    """Find emails by the transport's message id."""
    rows = tx.all(
        f"SELECT message_id, {', '.join(ledger.key)} FROM {ledger.table} WHERE message_id = ANY(%(ids)s::text [])",
        ids=list(message_ids),
    )
    return {row["message_id"]: tuple(row[name] for name in ledger.key) for row in rows}


def advance(tx: Tx, ledger: LedgerTables, updates: Sequence[LedgerUpdate]) -> tuple[set[EmailKey], set[EmailKey]]:
    """Advance emails, never backwards; return which are unknown and which are busy. One update for each email.

    Any row of a lower rank changes: also ``claimed`` and ``uncertain`` ones (the response to the call comes later or never),
    and one that was set back to ``pending`` by mistake, which is then not sent again.
    """
    table, key, rank = ledger.table, ", ".join(ledger.key), rank_sql(ledger.table)
    rows = tx.all(
        f"""
        WITH updates AS (
            SELECT * FROM unnest(
                {_place_keys(ledger)}, %(states)s::text [], %(ranks)s::int [], %(kinds)s::text [], %(message_ids)s::text [],
                %(details)s::text []
            ) AS updates ({key}, state, rank, kind, message_id, detail)
        ),

        taken AS (
            SELECT {key}
            FROM updates
            JOIN {table} USING ({key})
            WHERE {rank} < updates.rank
            ORDER BY {key}
            FOR UPDATE OF {table} SKIP LOCKED
        ),

        moved AS (
            UPDATE {table}
            SET state = updates.state,
                event_kind = updates.kind,
                detail = updates.detail,
                message_id = coalesce({table}.message_id, nullif(updates.message_id, '')),
                settled_at = coalesce({table}.settled_at, now())
            FROM taken
            JOIN updates USING ({key})
            WHERE {" AND ".join(f"{table}.{name} = taken.{name}" for name in ledger.key)}
            RETURNING {", ".join(f"{table}.{name}" for name in ledger.key)}, true AS is_moved
        )

        SELECT {key}, {table}.state IS NULL AS unknown
        FROM updates
        LEFT JOIN {table} USING ({key})
        LEFT JOIN moved USING ({key})
        WHERE {table}.state IS NULL OR (is_moved IS NULL AND {rank} < updates.rank)
        """,
        **_list_keys(ledger, [one.key for one in updates]),
        states=[one.state for one in updates],
        ranks=[one.rank for one in updates],
        kinds=[one.kind for one in updates],
        message_ids=[one.message_id for one in updates],
        details=[one.detail for one in updates],
    )
    found: dict[bool, set[EmailKey]] = {True: set(), False: set()}
    for row in rows:
        found[row["unknown"]].add(tuple(row[name] for name in ledger.key))
    return found[True], found[False]


def add(tx: Tx, ledger: LedgerTables, new_events: Sequence[LedgerEvent]) -> NewEvents:
    """Add events; known ones change nothing."""
    key = ", ".join(ledger.events_key)
    row = tx.one(
        f"""
        WITH fresh AS (
            INSERT INTO {ledger.events} ({key}, kind, at, subtype, detail)
            SELECT * FROM unnest(
                {_place_keys(ledger)}, %(kinds)s::text [], %(moments)s::timestamptz [], %(subtypes)s::text [],
                %(details)s::text []
            ) AS happened ({key}, kind, at, subtype, detail)
            ORDER BY {key}, kind, at
            ON CONFLICT DO NOTHING
            RETURNING {key}, kind
        ),

        found AS ({ledger.owners})

        SELECT
            count(*)::int AS number,
            array_agg(DISTINCT subscriber_id) FILTER (
                WHERE address IS NULL AND kind IN ('soft bounce', 'general bounce') AND counts
            ) AS soft,
            array_agg(DISTINCT subscriber_id) FILTER (WHERE address IS NULL AND kind = 'hard bounce' AND counts) AS hard,
            array_agg(DISTINCT subscriber_id) FILTER (WHERE address IS NULL AND kind = 'complaint') AS complaints,
            array_agg(DISTINCT subscriber_id) FILTER (WHERE address IS NULL AND kind = 'not spam') AS not_spam,
            array_agg(address) FILTER (WHERE address IS NOT NULL AND kind = 'hard bounce') AS hard_to,
            array_agg(address) FILTER (WHERE address IS NOT NULL AND kind = 'complaint') AS complaints_to
        FROM found
        """,
        **_list_keys(ledger, [one.key for one in new_events]),
        kinds=[one.kind for one in new_events],
        moments=[one.at for one in new_events],
        subtypes=[one.subtype for one in new_events],
        details=[one.detail for one in new_events],
    )
    assert row
    return NewEvents(row.pop("number"), **{name: found or [] for name, found in row.items()})


def _place_keys(ledger: LedgerTables) -> str:
    return ", ".join(f"%({name})s::bigint []" for name in ledger.key)


def _list_keys(ledger: LedgerTables, keys: Sequence[EmailKey]) -> dict[str, list[int]]:
    return {name: [key[place] for key in keys] for place, name in enumerate(ledger.key)}
