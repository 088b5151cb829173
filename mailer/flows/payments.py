"""What the clock and the worker do about money: events that wait, standings that ran out, the daily comparison."""

from __future__ import annotations

from datetime import timedelta

from mailer.db import Database
from mailer.flows import farewells, paying, reconcile, stripe_events
from mailer.settings import Settings
from mailer.store import accesses, subscriptions
from mailer.store import farewells as leaving
from mailer.store import stripe_events as stored


def has_work(database: Database, settings: Settings) -> bool:
    """Does an event or an erased reader wait, did a standing run out, or is the daily comparison due?"""
    with database.transaction() as tx:
        lapsed = bool(accesses.lapsed(tx, limit=1))
        if not settings.stripe_key:
            return lapsed
        paused = bool(subscriptions.resuming(tx, timedelta(0), limit=1))
        return lapsed or paused or leaving.has_work(tx) or stored.has_work(tx) or stored.reconcile_due(tx, reconcile.EVERY)


def work(database: Database, settings: Settings) -> bool:
    """Do a piece of it; whether there may be more. Safe to run twice and at once."""
    lapsed = reconcile.lapse(database, settings)
    if not settings.stripe_key:
        return bool(lapsed)
    if farewells.work(database, settings):
        return True
    if looked := stripe_events.work(database, settings):
        return bool(looked)
    lapsed += paying.tend_pauses(database, settings)
    if reconcile.is_due(database):
        reconcile.reconcile(database, settings)
    return bool(lapsed)
