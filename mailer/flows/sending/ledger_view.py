"""The ledger for the eye: a send's deliveries, a page at a time. Changes nothing."""

from __future__ import annotations

from mailer.core.db import Database
from mailer.store.sending import ledger_queries
from mailer.store.sending.ledger_queries import Line

PAGE = 100  # deliveries


def lines(database: Database, send_id: int, number: int) -> list[Line]:
    """Page ``number`` (from 1) of a send's deliveries; empty when there is no such send."""
    with database.transaction() as tx:
        return ledger_queries.lines(tx, send_id, PAGE, PAGE * (number - 1))
