"""Notices: what the operator is told, once."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Notice:
    """One sentence that waits to be posted."""

    id: int
    text: str


def add(tx: Tx, text: str) -> None:
    """Write down what the operator shall be told."""
    tx.run("INSERT INTO notices (text) VALUES (%(text)s)", text=text)


def list_waiting(tx: Tx, limit: int = 20) -> list[Notice]:
    """Notices of the last day that were not posted yet, oldest first."""
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


def delete(tx: Tx, notice_id: int) -> None:
    """This one was posted."""
    tx.run("UPDATE notices SET posted_at = now() WHERE id = %(id)s", id=notice_id)
