"""Subscriptions at Stripe as the ledger has them, for one reader or for all. Changes nothing, and asks nobody outside."""

from __future__ import annotations

from mailer.core.db import Database
from mailer.flows.subscribers import subscriber_admin
from mailer.store.billing import subscriptions
from mailer.store.billing.subscriptions import Kept


def of_reader(database: Database, id_or_email: str) -> list[Kept] | None:
    """A reader's subscriptions, oldest first; None when there is no such reader."""
    with database.transaction() as tx:
        found = subscriber_admin.look_up(tx, id_or_email)
        return subscriptions.of_reader(tx, found.id) if found else None


def every(database: Database) -> list[Kept]:
    """All that we sold."""
    with database.transaction() as tx:
        return [one for one in subscriptions.every(tx) if one.plan]
