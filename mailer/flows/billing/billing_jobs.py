"""What the clock and the worker do about money: events that wait, standings that ran out, the daily comparison."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.billing import erased_customers, plan_changes, stripe_events, stripe_reconcile
from mailer.store.billing import entitlements, subscriptions
from mailer.store.billing import erased_customers as stored_erased_customers
from mailer.store.billing import stripe_events as stored_stripe_events


def has_work(database: Database, settings: Settings) -> bool:
    """Does an event or an erased reader wait, did a standing run out, or is the daily comparison due?"""
    with database.transaction() as tx:
        lapsed = bool(entitlements.lapsed(tx, limit=1))
        if not settings.stripe_key:
            return lapsed
        paused = bool(subscriptions.resuming(tx, timedelta(0), limit=1))
        return (
            lapsed
            or paused
            or stored_erased_customers.has_work(tx)
            or stored_stripe_events.has_work(tx)
            or stored_stripe_events.reconcile_due(tx, stripe_reconcile.EVERY)
        )


def work(database: Database, settings: Settings) -> bool:
    """Do a piece of it; whether there may be more. Safe to run twice and at once."""
    lapsed = stripe_reconcile.lapse(database, settings)
    if not settings.stripe_key:
        return bool(lapsed)
    if erased_customers.work(database, settings):
        return True
    if looked := stripe_events.work(database, settings):
        return bool(looked)
    lapsed += plan_changes.tend_pauses(database, settings)
    if stripe_reconcile.is_due(database):
        stripe_reconcile.reconcile(database, settings)
    return bool(lapsed)
