"""Issues with their newest send and stored edition, as the API shows them. Read only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Row:
    """An issue of the ledger. What belongs to its newest send is None or empty when it has none."""

    key: str
    path: str
    title: str
    dated: datetime
    last_seen_at: datetime
    send_id: int | None
    state: str | None
    rule: str
    due_at: datetime | None
    finished_at: datetime | None
    audience_size: int | None
    edition_id: int | None
    subject: str
    preheader: str
    url: str


@dataclass(frozen=True)
class Body:
    """The parts of a stored edition."""

    id: int
    created_at: datetime
    subject: str
    preheader: str
    html: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """How a send went: readers who left through it, soft bounces on the way, and reasons of the bad ends."""

    left: int
    soft: int


def every(tx: Tx) -> list[Row]:
    """All issues, the newest first; one that was renamed stands once, under its present key."""
    rows = tx.all(
        """
        SELECT
            issues.key, issues.path, issues.title, issues.dated, issues.last_seen_at,
            last.id AS send_id, last.state, coalesce(last.audience, '') AS rule, last.due_at, last.finished_at,
            last.audience_size, last.edition_id, coalesce(editions.subject, issues.title) AS subject,
            coalesce(editions.preheader, '') AS preheader, coalesce(editions.url, '') AS url
        FROM issues
        LEFT JOIN LATERAL (
            SELECT * FROM sends
            WHERE sends.issue_key = coalesce(issues.renamed_from, issues.key) ORDER BY sends.id DESC LIMIT 1
        ) AS last ON true
        LEFT JOIN editions ON editions.id = last.edition_id
        WHERE NOT EXISTS (
            SELECT FROM issues AS later
            WHERE coalesce(later.renamed_from, later.key) = coalesce(issues.renamed_from, issues.key)
                AND (later.last_seen_at, later.key) > (issues.last_seen_at, issues.key)
        )
        ORDER BY issues.dated DESC, issues.key
        """
    )
    return each(rows, Row)


def bodies(tx: Tx, edition_ids: Sequence[int]) -> dict[int, str]:
    """The text parts of these editions."""
    rows = tx.all("SELECT id, text FROM editions WHERE id = ANY(%(ids)s::bigint [])", ids=list(edition_ids))
    return {row["id"]: row["text"] for row in rows}


def history(tx: Tx, key: str) -> list[Body]:
    """Every edition of an issue that was handed over, the oldest first."""
    rows = tx.all(
        """
        SELECT editions.id, editions.created_at, subject, preheader, html, text
        FROM editions
        WHERE issue_key = coalesce((SELECT renamed_from FROM issues WHERE key = %(key)s), %(key)s)
        ORDER BY id
        """,
        key=key,
    )
    return each(rows, Body)


def outcomes(tx: Tx, send_ids: Sequence[int]) -> dict[int, Outcome]:
    """Of each of these sends, what the deliveries' states do not say."""
    rows = tx.all(
        """
        WITH gone AS (
            SELECT evidence ->> 'send' AS send, count(DISTINCT subscriber_id)::int AS number FROM consents
            WHERE kind = 'left' AND evidence ->> 'send' = ANY(%(ids)s::bigint []::text [])
            GROUP BY 1
        ),

        soft AS (
            SELECT send_id, count(DISTINCT subscriber_id)::int AS number FROM delivery_events
            WHERE send_id = ANY(%(ids)s::bigint []) AND kind IN ('delay', 'soft bounce')
            GROUP BY 1
        )

        SELECT asked.id, coalesce(gone.number, 0) AS left, coalesce(soft.number, 0) AS soft
        FROM unnest(%(ids)s::bigint []) AS asked (id)
        LEFT JOIN gone ON gone.send = asked.id::text
        LEFT JOIN soft ON soft.send_id = asked.id
        """,
        ids=list(send_ids),
    )
    return {row["id"]: Outcome(row["left"], row["soft"]) for row in rows}
