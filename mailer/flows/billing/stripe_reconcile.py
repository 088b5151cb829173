"""Reconciling: compare every subscription with Stripe, show what differs, mend it. Runs daily, and by hand.

It needs no event at all: after it, access is what Stripe's state at this moment says, whatever was lost on the way.
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
from mailer.flows.billing.stripe_client import line
from mailer.flows.billing.stripe_sync import refresh, refresh_charge, settle
from mailer.payments.client import Stripe
from mailer.payments.models import Subscription
from mailer.store.billing import entitlements, stripe_events, subscriptions
from mailer.store.billing.subscriptions import Kept

events = log.get("reconcile")

EVERY = timedelta(days=1)
_COMPARED = (
    "customer_id", "plan", "status", "amount", "currency", "months", "collection_paused", "pause_kind", "paid_until",
    "resumes_at", "cancel_at", "trial_end", "period_start", "period_end", "ended_at", "invoice_id", "invoice_status",
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Where we and Stripe say different things; ``mended`` tells whether we now agree."""

    what: str
    field: str
    ours: str
    theirs: str
    mended: bool


@dataclass(frozen=True)
class Reconciled:
    """What a comparison found. ``foreign`` counts subscriptions at Stripe that we did not sell."""

    compared: int
    foreign: int
    differences: tuple[Difference, ...]


def reconcile(
    database: Database, settings: Settings, mend: bool = True, progress: Callable[[int], None] = lambda number: None
) -> Reconciled:
    """Compare all. Without ``mend`` nothing is changed. Raises Unavailable when Stripe stops answering on the way."""
    client = line(database, settings)
    with database.transaction() as tx:
        ours = {one.stripe_id: one for one in subscriptions.every(tx)}
    found: list[Difference] = []
    compared = foreign = 0
    seen: set[str] = set()
    for theirs in client.subscriptions():
        seen.add(theirs.stripe_id)
        kept = ours.get(theirs.stripe_id)
        compared += 1
        foreign += not theirs.plan
        found += _pair(database, settings, client, kept, theirs, mend)
        progress(compared)
    for name in ours.keys() - seen:
        found += _missing(database, settings, client, ours[name], mend)
    found += _charges(database, settings, client, mend)
    found += _gifts(database, client, mend)
    if mend:
        lapse(database, settings)
        with database.transaction() as tx:
            stripe_events.reconciled(tx)
    events.info("reconcile.done", compared=compared, differences=len(found), mended=mend)
    return Reconciled(compared, foreign, tuple(found))


def lapse(database: Database, settings: Settings) -> int:
    """Standings that ran out by the clock are computed anew, so that the reader is told; how many."""
    with database.transaction() as tx:
        due = entitlements.lapsed(tx)
    for subscriber_id in due:
        with database.transaction() as tx:
            settle(tx, settings, subscriber_id)
    return len(due)


def is_due(database: Database) -> bool:
    """Was the last comparison a day ago?"""
    with database.transaction() as tx:
        return stripe_events.reconcile_due(tx, EVERY)


def _pair(
    database: Database, settings: Settings, client: Stripe, kept: Kept | None, theirs: Subscription, mend: bool
) -> list[Difference]:
    wrong = _different(kept, theirs)
    if not theirs.plan and not (kept and kept.plan):
        return []
    if wrong and mend:
        refresh(database, settings, client, theirs.stripe_id)
        return [replace(one, mended=True) for one in wrong]
    if mend and kept and kept.subscriber_id:
        with database.transaction() as tx:
            settle(tx, settings, kept.subscriber_id)
    return wrong


def _different(kept: Kept | None, theirs: Subscription) -> list[Difference]:
    if kept is None or not kept.status:
        return [Difference(theirs.stripe_id, "subscription", "unknown", theirs.status, False)]
    found = [
        Difference(theirs.stripe_id, name, str(getattr(kept, name)), str(getattr(theirs, name)), False)
        for name in _COMPARED
        if getattr(kept, name) != getattr(theirs, name)
    ]
    if kept.subscriber_id is None and theirs.plan and not theirs.status.startswith("incomplete"):
        found.append(Difference(theirs.stripe_id, "reader", "nobody", theirs.customer_id, False))
    return found


def _missing(database: Database, settings: Settings, client: Stripe, kept: Kept, mend: bool) -> list[Difference]:
    if kept.status in ("", "canceled"):
        return []
    if mend:
        refresh(database, settings, client, kept.stripe_id)
    return [Difference(kept.stripe_id, "subscription", kept.status, "unknown", mend)]


def _charges(database: Database, settings: Settings, client: Stripe, mend: bool) -> list[Difference]:
    found = []
    for name in client.touched_charges():
        theirs = client.charge(name)
        with database.transaction() as tx:
            ours = subscriptions.charge(tx, name)
        if ours != (theirs.refunded, theirs.dispute):
            if mend:
                refresh_charge(database, settings, client, name)
            found.append(Difference(name, "charge", str(ours), str((theirs.refunded, theirs.dispute)), mend))
    return found


def _gifts(database: Database, client: Stripe, mend: bool) -> list[Difference]:
    found = []
    for session in client.finished_gifts():
        try:
            if mend and gifts.paid(database, session):
                found.append(Difference(session.stripe_id, "gift", "unknown", "paid", True))
        except PostmergeError as error:
            found.append(Difference(session.stripe_id, "gift", str(error), "paid", False))
    return found
