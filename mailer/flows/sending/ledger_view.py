"""A send's deliveries, one page at a time. Read-only."""

from __future__ import annotations

from mailer.core.db import Database
from mailer.store.sending import ledger_queries
from mailer.store.sending.ledger_queries import LedgerRow

PAGE_SIZE = 100  # deliveries


def list_deliveries(database: Database, send_id: int, number: int) -> list[LedgerRow]:
    """Page ``number`` (from 1) of a send's deliveries; empty when there is no such send."""
    with database.transaction() as tx:
        return ledger_queries.list_deliveries(tx, send_id, PAGE_SIZE, PAGE_SIZE * (number - 1))
