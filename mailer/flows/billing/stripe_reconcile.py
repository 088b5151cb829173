"""Reconciliation: compare every subscription with Stripe, show differences, correct them. Runs daily and on request.

It needs no events: afterwards entitlements match Stripe's state at this moment, whatever was lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.billing import gifts
from mailer.flows.billing.stripe_client import get_client
from mailer.flows.billing.stripe_sync import refresh_charge, refresh_subscription, update_entitlement
from mailer.payments.client import Stripe
from mailer.payments.models import Subscription
from mailer.store.billing import entitlement_records, stripe_events, subscriptions
from mailer.store.billing.subscriptions import StoredSubscription

logger = log.get("reconcile")

RECONCILE_INTERVAL = timedelta(days=1)
_COMPARED_FIELDS = (
    "customer_id", "plan", "status", "amount", "currency", "months", "collection_paused", "pause_kind", "paid_until",
    "resumes_at", "cancel_at", "trial_end", "period_start", "period_end", "ended_at", "invoice_id", "invoice_status",
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A difference between our tables and Stripe; ``mended`` says whether it was corrected."""

    what: str
    field: str
    ours: str
    theirs: str
    mended: bool


@dataclass(frozen=True)
class Reconciled:
    """The result of a comparison. ``foreign`` counts subscriptions at Stripe that we did not sell."""

    compared: int
    foreign: int
    differences: tuple[Difference, ...]


def reconcile(
    database: Database, settings: Settings, mend: bool = True, progress: Callable[[int], None] = lambda number: None
) -> Reconciled:
    """Compare everything. Without ``mend`` nothing is changed. Raises Unavailable if Stripe stops responding."""
    client = get_client(database, settings)
    with database.transaction() as tx:
        ours = {one.stripe_id: one for one in subscriptions.list_all(tx)}
    found: list[Difference] = []
    compared = foreign = 0
    seen: set[str] = set()
    for theirs in client.iterate_subscriptions():
        seen.add(theirs.stripe_id)
        stored = ours.get(theirs.stripe_id)
        compared += 1
        foreign += not theirs.plan
        found += _compare_subscription(database, settings, client, stored, theirs, mend)
        progress(compared)
    for name in ours.keys() - seen:
        found += _handle_missing(database, settings, client, ours[name], mend)
    found += _compare_charges(database, settings, client, mend)
    found += _compare_gifts(database, settings, client, mend)
    if mend:
        update_lapsed(database, settings)
        with database.transaction() as tx:
            stripe_events.mark_reconciled(tx)
    logger.info("reconcile.done", compared=compared, differences=len(found), mended=mend)
    return Reconciled(compared, foreign, tuple(found))


def update_lapsed(database: Database, settings: Settings) -> int:
    """Recompute expired entitlements, so that their subscribers are notified; return how many."""
    with database.transaction() as tx:
        due = entitlement_records.list_lapsed(tx)
    for subscriber_id in due:
        with database.transaction() as tx:
            update_entitlement(tx, settings, subscriber_id)
    return len(due)


def is_due(database: Database) -> bool:
    """Return whether the last comparison was a day ago."""
    with database.transaction() as tx:
        return stripe_events.is_reconcile_due(tx, RECONCILE_INTERVAL)


def _compare_subscription(
    database: Database, settings: Settings, client: Stripe, stored: StoredSubscription | None, theirs: Subscription, mend: bool
) -> list[Difference]:
    wrong = _list_differences(stored, theirs)
    if not theirs.plan and not (stored and stored.plan):
        return []
    if wrong and mend:
        refresh_subscription(database, settings, client, theirs.stripe_id)
        return [replace(one, mended=True) for one in wrong]
    if mend and stored and stored.subscriber_id:
        with database.transaction() as tx:
            update_entitlement(tx, settings, stored.subscriber_id)
    return wrong


def _list_differences(stored: StoredSubscription | None, theirs: Subscription) -> list[Difference]:
    if stored is None or not stored.status:
        return [Difference(theirs.stripe_id, "subscription", "unknown", theirs.status, False)]
    found = [
        Difference(theirs.stripe_id, name, str(getattr(stored, name)), str(getattr(theirs, name)), False)
        for name in _COMPARED_FIELDS
        if getattr(stored, name) != getattr(theirs, name)
    ]
    if stored.subscriber_id is None and theirs.plan and not theirs.status.startswith("incomplete"):
        found.append(Difference(theirs.stripe_id, "subscriber", "nobody", theirs.customer_id, False))
    return found


def _handle_missing(
    database: Database, settings: Settings, client: Stripe, stored: StoredSubscription, mend: bool
) -> list[Difference]:
    if stored.status in ("", "canceled"):
        return []
    if mend:
        refresh_subscription(database, settings, client, stored.stripe_id)
    return [Difference(stored.stripe_id, "subscription", stored.status, "unknown", mend)]


def _compare_charges(database: Database, settings: Settings, client: Stripe, mend: bool) -> list[Difference]:
    found = []
    for name in client.iterate_changed_charges():
        theirs = client.get_charge(name)
        with database.transaction() as tx:
            ours = subscriptions.get_charge(tx, name)
        if ours != (theirs.refunded, theirs.dispute):
            if mend:
                refresh_charge(database, settings, client, name)
            found.append(Difference(name, "charge", str(ours), str((theirs.refunded, theirs.dispute)), mend))
    return found


def _compare_gifts(database: Database, settings: Settings, client: Stripe, mend: bool) -> list[Difference]:
    found = []
    for session in client.iterate_paid_gifts():
        try:
            if mend and gifts.record_paid_gift(database, session, settings):
                found.append(Difference(session.stripe_id, "gift", "unknown", "paid", True))
        except PostmergeError as error:
            found.append(Difference(session.stripe_id, "gift", str(error), "paid", False))
    return found
