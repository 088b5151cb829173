"""Periodic jobs for billing: pending events, expired entitlements, the daily reconciliation."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.billing import (
    cancel_after_erasure,
    customer_addresses,
    stripe_event_processing,
    stripe_reconcile,
    subscription_changes,
)
from mailer.store.billing import customers, entitlement_records, erased_customers, stripe_events, subscriptions


def has_work(database: Database, settings: Settings) -> bool:
    """Return whether an event or an erased subscriber is pending, an entitlement expired, or the reconciliation is due."""
    with database.transaction() as tx:
        lapsed = bool(entitlement_records.list_lapsed(tx, limit=1))
        if not settings.stripe_key:
            return lapsed
        paused = bool(subscriptions.list_resuming(tx, timedelta(0), limit=1))
        return (
            lapsed
            or paused
            or erased_customers.JOBS.has_work(tx)
            or customers.is_address_due(tx)
            or stripe_events.JOBS.has_work(tx)
            or stripe_events.is_reconcile_due(tx, stripe_reconcile.RECONCILE_INTERVAL)
        )


def run_pending(database: Database, settings: Settings) -> bool:
    """Do some of the pending work; return whether there may be more. Safe to repeat and to run concurrently."""
    lapsed = stripe_reconcile.update_lapsed(database, settings)
    if not settings.stripe_key:
        return bool(lapsed)
    if cancel_after_erasure.process_next(database, settings) or customer_addresses.process_next(database, settings):
        return True
    if looked := stripe_event_processing.process_due(database, settings):
        return bool(looked)
    lapsed += subscription_changes.process_pauses(database, settings)
    if stripe_reconcile.is_due(database):
        stripe_reconcile.reconcile(database, settings)
    return bool(lapsed)
