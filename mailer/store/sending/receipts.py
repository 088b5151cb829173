"""Receipts of finished sends, and what receipts are made of: the editions of sends that have started, with their texts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class SentEdition:
    """An edition and its send. ``commit_id`` is the git commit it was published from; empty if nobody said."""

    send_id: int
    edition_id: int
    issue_key: str
    number: int
    title: str
    url: str
    digest: str
    commit_id: str
    state: str
    audience: str
    audience_size: int
    published_at: datetime
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class SentText:
    """One text of a sent edition; ``name`` is the variant's, empty for the original. Old editions have no ``body``."""

    name: str
    lang: str
    url: str
    digest: str
    subject: str
    html: str
    text: str
    body: str


_SENT = """
    SELECT
        sends.id AS send_id, editions.id AS edition_id, editions.issue_key, editions.number, editions.title, editions.url,
        editions.digest, editions.commit_id, sends.state, sends.audience, sends.audience_size,
        sends.created_at AS published_at, sends.started_at, sends.finished_at
    FROM sends
    JOIN editions ON editions.id = sends.edition_id
    WHERE sends.started_at IS NOT NULL
"""
_NEWEST = "ORDER BY sends.step_id IS NULL DESC, sends.id DESC LIMIT 1"  # an issue's own send before a sequence's of it


def find_by_digest(tx: Tx, digest: str) -> SentEdition | None:
    """Return the newest sent edition with a text of this digest."""
    row = tx.one(
        f"""
        {_SENT} AND (
            editions.digest = %(digest)s
            OR EXISTS (SELECT FROM edition_variants WHERE edition_id = editions.id AND edition_variants.digest = %(digest)s)
        )
        {_NEWEST}
        """,
        digest=digest,
    )
    return SentEdition(**row) if row else None


def find_by_page(tx: Tx, url: str) -> SentEdition | None:
    """Return the newest sent edition whose page, or a translation's, has this address."""
    row = tx.one(
        f"""
        {_SENT} AND (
            editions.url = %(url)s
            OR EXISTS (SELECT FROM edition_variants WHERE edition_id = editions.id AND own_url = %(url)s)
        )
        {_NEWEST}
        """,
        url=url,
    )
    return SentEdition(**row) if row else None


def list_unsigned(tx: Tx, limit: int) -> list[SentEdition]:
    """Return finished sends without a receipt, oldest first."""
    rows = tx.all(
        f"""
        {_SENT} AND sends.state = 'finished' AND NOT EXISTS (SELECT FROM receipts WHERE send_id = sends.id)
        ORDER BY sends.id
        LIMIT %(limit)s
        """,
        limit=limit,
    )
    return each(rows, SentEdition)


def save(tx: Tx, send_id: int, document: bytes) -> bool:
    """Keep the signed receipt of a send; return False if there is one already."""
    return (
        tx.run(
            "INSERT INTO receipts (send_id, document) VALUES (%(send_id)s, %(document)s) ON CONFLICT (send_id) DO NOTHING",
            send_id=send_id,
            document=document,
        )
        > 0
    )


def get_document(tx: Tx, send_id: int) -> bytes | None:
    """Return the signed receipt of a send, or None."""
    found = tx.value("SELECT document FROM receipts WHERE send_id = %(send_id)s", send_id=send_id)
    return None if found is None else bytes(found)


def list_sent(tx: Tx) -> list[SentEdition]:
    """Return every send that has started with its edition, oldest first."""
    return each(tx.all(f"{_SENT} ORDER BY sends.id"), SentEdition)


def list_texts(tx: Tx, edition_id: int) -> list[SentText]:
    """Return the texts of an edition, the original first."""
    rows = tx.all(
        """
        SELECT '' AS name, lang, url, digest, subject, html, text, body FROM editions WHERE id = %(id)s
        UNION ALL
        SELECT
            edition_variants.name,
            coalesce(nullif(own_lang, ''), editions.lang),
            coalesce(nullif(own_url, ''), editions.url),
            edition_variants.digest,
            coalesce(nullif(own_subject, ''), editions.subject),
            edition_variants.html, edition_variants.text, edition_variants.body
        FROM edition_variants JOIN editions ON editions.id = edition_id
        WHERE edition_id = %(id)s
        ORDER BY name
        """,
        id=edition_id,
    )
    return each(rows, SentText)
