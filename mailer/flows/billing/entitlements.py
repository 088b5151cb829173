"""Entitlements: decides who may read paid text, from Stripe's last state and from grants. SQL elsewhere only reads the result.

``decide_entitlement`` is a pure function of facts, the grace period and a moment. ``save_entitlement`` applies it to a
subscriber and stores the result, so that claiming a thousand deliveries needs one join: a subscriber is entitled at a moment t
if ``premium`` is true and ``until`` is later than t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.core import log
from mailer.core.db import Tx
from mailer.payments.models import RUNNING_STATUSES
from mailer.store.billing import entitlement_records, subscriptions
from mailer.store.billing.entitlement_records import EntitlementGrant, StoredEntitlement
from mailer.store.billing.subscriptions import StoredSubscription

logger = log.get("access")


class EntitlementState(StrEnum):
    """A subscriber's state as a customer."""

    FREE = "free"
    TRIALING = "trialing"
    PAYING = "paying"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    ENDING = "ending"
    ENDED = "ended"
    COMPLIMENTARY = "complimentary"


# From best to worst, for entitlements that last equally long.
_RANK = [
    EntitlementState.PAYING,
    EntitlementState.TRIALING,
    EntitlementState.COMPLIMENTARY,
    EntitlementState.ENDING,
    EntitlementState.PAST_DUE,
    EntitlementState.PAUSED,
    EntitlementState.ENDED,
    EntitlementState.FREE,
]


@dataclass(frozen=True)
class Entitlement:
    """``premium`` says whether paid text may be read, until ``until`` (None: indefinitely)."""

    state: EntitlementState
    premium: bool = False
    until: datetime | None = None

    def is_active_at(self, now: datetime) -> bool:
        """Return whether it is in effect at this moment."""
        return self.premium and (self.until is None or self.until > now)

    def at(self, now: datetime) -> Entitlement:
        """Return the entitlement at a later moment if nothing else happens."""
        if not self.premium or self.is_active_at(now):
            return self
        return Entitlement(EntitlementState.PAUSED if self.state is EntitlementState.PAUSED else EntitlementState.ENDED)


def decide_entitlement(
    held: Sequence[StoredSubscription], grants: Sequence[EntitlementGrant], grace: timedelta, now: datetime
) -> Entitlement:
    """Return the best of a subscriber's entitlements; ``free`` if there are none."""
    found = [decide_for_subscription(one, grace).at(now) for one in held]
    found += [Entitlement(EntitlementState.COMPLIMENTARY, True, one.until).at(now) for one in grants]
    return max(found, key=_rank, default=Entitlement(EntitlementState.FREE))


def decide_for_subscription(one: StoredSubscription, grace: timedelta) -> Entitlement:
    """Return what one subscription at Stripe entitles to; docs/how-to/paid.md has the table."""
    if one.status in ("", "incomplete", "incomplete_expired"):
        return Entitlement(EntitlementState.FREE)
    if one.dispute == "lost" or one.status == "unpaid":
        return Entitlement(EntitlementState.ENDED)
    if one.status == "canceled":
        return _decide_canceled(one)
    if one.dispute == "open":
        return _decide_past_due(one.disputed_at, grace)
    if one.status == "paused" or one.collection_paused:
        return _decide_paused(one)
    if one.status == "past_due":
        return _decide_past_due(one.invoice_at or one.period_start, grace)
    if one.cancel_at:
        return Entitlement(EntitlementState.ENDING, True, one.cancel_at)
    trial = one.status == "trialing" and one.pause_kind != "kept"  # days saved during a pause are a trial only for Stripe
    return Entitlement(EntitlementState.TRIALING if trial else EntitlementState.PAYING, True)


def sort_best_first(held: Sequence[StoredSubscription], grace: timedelta, now: datetime) -> list[StoredSubscription]:
    """Return subscriptions by what they entitle to at this moment; of equals, the first in ``held`` comes first."""
    return sorted(held, key=lambda one: _rank(decide_for_subscription(one, grace).at(now)), reverse=True)


def will_be_charged(one: StoredSubscription) -> bool:
    """Return whether Stripe will charge it: it runs, and is neither cancelled nor paused."""
    return one.status in RUNNING_STATUSES and not one.cancel_at and not one.collection_paused


def restore_entitlement(access: StoredEntitlement | None, now: datetime) -> Entitlement:
    """Return a stored entitlement as it is at this moment."""
    return (
        Entitlement(EntitlementState(access.state), access.premium, access.until).at(now)
        if access
        else Entitlement(EntitlementState.FREE)
    )


def save_entitlement(tx: Tx, subscriber_id: int, grace: timedelta, now: datetime) -> tuple[Entitlement, Entitlement]:
    """Recompute and store a subscriber's entitlement; return it before and after. Lock the subscriber first."""
    before = entitlement_records.get(tx, subscriber_id)
    after = decide_entitlement(
        subscriptions.list_by_subscriber(tx, subscriber_id), entitlement_records.list_grants(tx, subscriber_id), grace, now
    )
    was = (
        Entitlement(EntitlementState(before.state), before.premium, before.until)
        if before
        else Entitlement(EntitlementState.FREE)
    )
    if was != after:
        entitlement_records.save(tx, subscriber_id, after.state, after.premium, after.until)
        logger.info("access.changed", subscriber=subscriber_id, before=was.state, after=after.state)
    return was, after


def _decide_canceled(one: StoredSubscription) -> Entitlement:
    """Keep what was paid for if the subscription ended early and was not refunded."""
    paid_until = one.period_end if one.invoice_status == "paid" else None
    if one.pause_kind in ("keep", "serve") and one.paid_until:
        waited = one.ended_at - one.paused_at if one.pause_kind == "keep" and one.ended_at and one.paused_at else timedelta(0)
        paid_until = one.paid_until + waited
    if one.pause_kind == "kept" and one.trial_end and one.ended_at and one.trial_end > one.ended_at:
        paid_until = one.trial_end  # it ended during the days saved by a pause
    if paid_until and one.ended_at and paid_until > one.ended_at and not one.refunded:
        return Entitlement(EntitlementState.ENDING, True, paid_until)
    return Entitlement(EntitlementState.ENDED)


def _decide_past_due(since: datetime | None, grace: timedelta) -> Entitlement:
    return Entitlement(EntitlementState.PAST_DUE, True, since + grace) if since else Entitlement(EntitlementState.PAST_DUE)


def _decide_paused(one: StoredSubscription) -> Entitlement:
    """``keep``: the paid days are saved for later. Otherwise, and if paused at Stripe itself, they continue to run."""
    if one.pause_kind == "keep":
        return Entitlement(EntitlementState.PAUSED)
    paid = one.paid_until or (one.period_end if one.invoice_status == "paid" else None)
    return Entitlement(EntitlementState.PAUSED, True, paid) if paid else Entitlement(EntitlementState.PAUSED)


def _rank(one: Entitlement) -> tuple[bool, float, int]:
    lasts = (one.until.timestamp() if one.until else float("inf")) if one.premium else 0.0
    return one.premium, lasts, -_RANK.index(one.state)
