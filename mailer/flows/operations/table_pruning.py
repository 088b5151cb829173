"""Delete what the retention rules of tables let go, and old previews of sites, a little each hour; sum up old sends."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.publishing.site_previews import delete_old_previews
from mailer.store.operations import event_sums, table_retention
from mailer.store.sending import deliveries

logger = log.get("retention")

INTERVAL_SECONDS = 3600.0
SUMMED_AFTER = timedelta(days=30)  # since a send finished; later events of it are rare
_MAX_ROUNDS = 100  # of a table in an hour
_MAX_SUMS = 1000  # in an hour; after an upgrade, every old send is summed up


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
            sum_up(self._database)
            delete_old_previews(self._settings)


def sum_up(database: Database) -> int:
    """Count the deliveries of old sends and the events of past months once, so that lists need not; return how many counts."""
    return _repeat(database, lambda tx: deliveries.sum_up_old_send(tx, SUMMED_AFTER)) + _repeat(
        database, event_sums.sum_up_month
    )


def _repeat(database: Database, do: Callable[[Tx], bool]) -> int:
    for number in range(_MAX_SUMS):
        with database.transaction() as tx:
            if not do(tx):
                return number
    return _MAX_SUMS


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
