"""Health and numbers: cheap looks at the database that change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mailer.core import migrate
from mailer.core.db import Database
from mailer.store.sending import deliveries, ledger_queries
from mailer.store.sending.sends import SendState

MAX_SEND_AGE = timedelta(days=1)  # deliveries of sends that finished longer ago are not counted


@dataclass(frozen=True)
class LedgerNumbers:
    """Counts for monitoring, each state with a number (0 when there is none)."""

    sends: dict[str, int]
    deliveries: dict[str, int]
    waiting_transactional: int


def list_missing_migrations(database: Database) -> list[str]:
    """Names of migrations that this program has and the database has not. Raises Unavailable."""
    with database.transaction() as tx:
        done = ledger_queries.list_migrations(tx)
    return [path.stem for path in migrate.files() if path.stem not in done]


def read_numbers(database: Database) -> LedgerNumbers:
    """What the ledger says now. Raises Unavailable."""
    with database.transaction() as tx:
        return LedgerNumbers(
            sends={**{str(state): 0 for state in SendState}, **ledger_queries.count_sends_by_state(tx)},
            deliveries={**dict.fromkeys(deliveries.STATES, 0), **ledger_queries.count_deliveries_by_state(tx, MAX_SEND_AGE)},
            waiting_transactional=ledger_queries.count_waiting_transactional(tx),
        )
