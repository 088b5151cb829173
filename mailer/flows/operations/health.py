"""Health: whether the database is the one that this program expects."""

from __future__ import annotations

from mailer.core import migrate
from mailer.core.db import Database
from mailer.store.sending import ledger_queries

_KNOWN_MIGRATIONS = [path.stem for path in migrate.files()]  # at the start: an upgrade on disk is not this process's


def list_missing_migrations(database: Database) -> list[str]:
    """Names of migrations that this program has and the database has not. Raises Unavailable."""
    with database.transaction() as tx:
        done = ledger_queries.list_migrations(tx)
    return [name for name in _KNOWN_MIGRATIONS if name not in done]
