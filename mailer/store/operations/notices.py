"""Notices for the operator, each posted once."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Notice:
    """A sentence waiting to be posted."""

    id: int
    text: str


def add(tx: Tx, text: str) -> None:
    """Add a notice."""
    tx.run("INSERT INTO notices (text) VALUES (%(text)s)", text=text)


def claim_next(tx: Tx) -> Notice | None:
    """Claim the oldest notice of the last day that is not posted yet; a claim ends after a minute. None if there is none."""
    rows = tx.all(
        """
        UPDATE notices SET claimed_at = now()
        WHERE id = (
            SELECT id FROM notices
            WHERE posted_at IS NULL AND created_at > now() - interval '1 day'
                AND (claimed_at IS NULL OR claimed_at < now() - interval '1 minute')
            ORDER BY id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id, text
        """
    )
    return each(rows, Notice)[0] if rows else None


def release(tx: Tx, notice_id: int) -> None:
    """End a claim: the notice could not be posted."""
    tx.run("UPDATE notices SET claimed_at = NULL WHERE id = %(id)s", id=notice_id)


def mark_posted(tx: Tx, notice_id: int) -> None:
    """Mark a notice as posted."""
    tx.run("UPDATE notices SET posted_at = now() WHERE id = %(id)s", id=notice_id)
