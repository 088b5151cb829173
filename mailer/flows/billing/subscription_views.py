"""Read-only lists of the stored Stripe subscriptions, for one subscriber or for all."""

from __future__ import annotations

from mailer.core.db import Database
from mailer.flows.subscribers import subscriber_admin
from mailer.store.billing import subscriptions
from mailer.store.billing.subscriptions import StoredSubscription


def list_by_subscriber(database: Database, id_or_email: str) -> list[StoredSubscription] | None:
    """Return a subscriber's subscriptions, oldest first; None if there is no such subscriber."""
    with database.transaction() as tx:
        found = subscriber_admin.look_up_subscriber(tx, id_or_email)
        return subscriptions.list_by_subscriber(tx, found.id) if found else None


def list_all(database: Database) -> list[StoredSubscription]:
    """Return all subscriptions that we sold."""
    with database.transaction() as tx:
        return [one for one in subscriptions.list_all(tx) if one.plan]
