"""The ledger as a whole, read only: counts for metrics, rows for the eye."""

from __future__ import annotations

from mailer.db import Tx


def migrations(tx: Tx) -> set[str]:
    """Names of the migrations that were applied; none when the database is empty."""
    if tx.value("SELECT to_regclass('schema_migrations')") is None:
        return set()
    return {row["name"] for row in tx.all("SELECT name FROM schema_migrations")}
