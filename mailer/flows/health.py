"""Health: cheap looks at the database that change nothing."""

from __future__ import annotations

from mailer import migrate
from mailer.db import Database
from mailer.store import ledger


def missing_migrations(database: Database) -> list[str]:
    """Names of migrations that this program has and the database has not. Raises Unavailable."""
    with database.transaction() as tx:
        done = ledger.migrations(tx)
    return [path.stem for path in migrate.files() if path.stem not in done]
