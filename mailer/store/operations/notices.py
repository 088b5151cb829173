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


def list_waiting(tx: Tx, limit: int = 20) -> list[Notice]:
    """Return notices of the last day that are not posted yet, oldest first."""
    rows = tx.all(
        """
        SELECT id, text
        FROM notices
        WHERE posted_at IS NULL AND created_at > now() - interval '1 day'
        ORDER BY id
        LIMIT %(limit)s
        """,
        limit=limit,
    )
    return each(rows, Notice)


def mark_posted(tx: Tx, notice_id: int) -> None:
    """Mark a notice as posted."""
    tx.run("UPDATE notices SET posted_at = now() WHERE id = %(id)s", id=notice_id)
