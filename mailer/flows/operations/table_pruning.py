"""Delete what the retention rules of tables let go, and old previews of sites, a little each hour."""

from __future__ import annotations

import time

from mailer.core import log
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.publishing.site_previews import delete_old_previews
from mailer.store.operations import table_retention

logger = log.get("retention")

INTERVAL_SECONDS = 3600.0
_MAX_ROUNDS = 100  # of a table in an hour


class TablePruning:
    """Applies the rules once an hour. Safe to run concurrently."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._last = -INTERVAL_SECONDS

    def run_due(self) -> None:
        """Apply the rules if an hour has passed. Raises Unavailable."""
        if time.monotonic() - self._last >= INTERVAL_SECONDS:
            self._last = time.monotonic()
            prune_tables(self._database)
            delete_old_previews(self._settings)


def prune_tables(database: Database) -> dict[str, int]:
    """Delete old rows in short transactions; return how many of each table."""
    deleted: dict[str, int] = {}
    for table in table_retention.RULES:
        for _ in range(_MAX_ROUNDS):
            with database.transaction() as tx:
                number = table_retention.delete_old_rows(tx, table)
            if number:
                deleted[table] = deleted.get(table, 0) + number
            if number < table_retention.MAX_PRUNED_ROWS:
                break
    if deleted:
        logger.info("tables.pruned", **deleted)
    return deleted
