"""Issues with their newest send and stored edition, as the API shows them. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class IssueRow:
    """An issue of the ledger, or a draft (state ``draft``). The fields of its newest send are None or empty without one."""

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
    image: str


@dataclass(frozen=True)
class IssueText:
    """What everybody may read of an issue: its Markdown ('' in editions of before), and the email's two parts."""

    source: str
    html: str
    text: str


@dataclass(frozen=True)
class EditionText:
    """The parts of a stored edition."""

    id: int
    created_at: datetime
    subject: str
    preheader: str
    html: str
    text: str
    source: str


@dataclass(frozen=True)
class SendFeedback:
    """What subscribers did with a send: how many unsubscribed through it, and how many soft-bounced."""

    unsubscribed: int
    soft_bounced: int


def list_all(tx: Tx) -> list[IssueRow]:
    """All issues and drafts, newest first; a renamed one is listed once, under its current key."""
    rows = tx.all(
        """
        SELECT
            issues.key, issues.path, issues.title, issues.dated, issues.last_seen_at,
            last.id AS send_id, last.state, coalesce(last.audience, '') AS rule, last.due_at, last.finished_at,
            last.audience_size, last.edition_id, coalesce(editions.subject, own.subject, issues.title) AS subject,
            coalesce(editions.preheader, own.preheader, '') AS preheader, coalesce(editions.url, issues.url, '') AS url,
            coalesce(editions.image, own.image, '') AS image
        FROM issues
        LEFT JOIN LATERAL (
            SELECT * FROM sends
            WHERE sends.issue_key = coalesce(issues.renamed_from, issues.key) ORDER BY sends.id DESC LIMIT 1
        ) AS last ON true
        LEFT JOIN editions ON editions.id = last.edition_id
        LEFT JOIN issue_texts AS own ON own.key = issues.key
        WHERE NOT issues.is_step AND NOT EXISTS (
            SELECT FROM issues AS later
            WHERE coalesce(later.renamed_from, later.key) = coalesce(issues.renamed_from, issues.key)
                AND (later.last_seen_at, later.key) > (issues.last_seen_at, issues.key)
        )

        UNION ALL

        SELECT
            key, path, fields ->> 'subject', created_at, updated_at, NULL, 'draft', coalesce(fields ->> 'audience', ''),
            NULL, NULL, NULL, NULL, fields ->> 'subject', coalesce(fields ->> 'description', ''), '',
            coalesce(fields ->> 'image', '')
        FROM drafts
        WHERE NOT EXISTS (SELECT FROM issues WHERE issues.key = drafts.key)
        ORDER BY dated DESC, key
        """
    )
    return each(rows, IssueRow)


def list_texts(tx: Tx, edition_ids: Sequence[int]) -> dict[int, IssueText]:
    """The texts of these editions."""
    rows = tx.all("SELECT id, source, html, text FROM editions WHERE id = ANY(%(ids)s::bigint [])", ids=list(edition_ids))
    return {row.pop("id"): IssueText(**row) for row in rows}


def list_own_texts(tx: Tx, keys: Sequence[str]) -> dict[str, IssueText]:
    """The texts of issues without a send, by key."""
    rows = tx.all("SELECT key, source, html, text FROM issue_texts WHERE key = ANY(%(keys)s::text [])", keys=list(keys))
    return {row.pop("key"): IssueText(**row) for row in rows}


def list_editions(tx: Tx, key: str) -> list[EditionText]:
    """Every uploaded edition of an issue, oldest first."""
    rows = tx.all(
        """
        SELECT editions.id, editions.created_at, subject, preheader, html, text, source
        FROM editions
        WHERE issue_key = coalesce((SELECT renamed_from FROM issues WHERE key = %(key)s), %(key)s)
        ORDER BY id
        """,
        key=key,
    )
    return each(rows, EditionText)


def list_feedback(tx: Tx, send_ids: Sequence[int]) -> dict[int, SendFeedback]:
    """For each of these sends, what the deliveries' states do not show."""
    rows = tx.all(
        """
        WITH unsubscribed AS (
            SELECT evidence ->> 'send' AS send, count(DISTINCT subscriber_id)::int AS number FROM consents
            WHERE kind = 'unsubscribed' AND evidence ->> 'send' = ANY(%(ids)s::bigint []::text [])
            GROUP BY 1
        )

        SELECT asked.id, coalesce(unsubscribed.number, 0) AS unsubscribed, soft.number AS soft_bounced
        FROM unnest(%(ids)s::bigint []) AS asked (id)
        LEFT JOIN unsubscribed ON unsubscribed.send = asked.id::text
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT subscriber_id)::int AS number FROM delivery_events
            WHERE send_id = asked.id AND kind IN ('delay', 'soft bounce', 'general bounce')
        ) AS soft
        """,
        ids=list(send_ids),
    )
    return {row["id"]: SendFeedback(row["unsubscribed"], row["soft_bounced"]) for row in rows}
