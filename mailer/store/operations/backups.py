"""What a restore needs to know of a database, and leaves in it."""

from __future__ import annotations

from mailer.core.db import Tx


def list_tables(tx: Tx) -> list[str]:
    """Return the names of the tables in the current schema."""
    rows = tx.all("SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    return [row["name"] for row in rows]


def mark_as_restored(tx: Tx) -> None:
    """Let the fence disagree, wherever the database is, until an operator accepts it."""
    tx.run("UPDATE fence SET place = 'restored'")
