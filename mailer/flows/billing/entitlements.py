"""Access: the one place that decides who may read what we sell, from what Stripe last said and from grants.

``standing`` is a pure function of facts, the grace period and a moment. ``settle`` applies it to a reader and writes it down,
so that a claim of a thousand deliveries needs one join: access at a moment t is ``premium`` and ``until`` later than t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.core import log
from mailer.core.db import Tx
from mailer.store.billing import entitlements, subscriptions
from mailer.store.billing.entitlements import Access, Grant
from mailer.store.billing.subscriptions import Kept

events = log.get("access")


class State(StrEnum):
    """What a reader is to us, money-wise."""

    FREE = "free"
    TRIALING = "trialing"
    PAYING = "paying"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    ENDING = "ending"
    ENDED = "ended"
    COMPLIMENTARY = "complimentary"


# From the best to the worst, where two standings open the same doors for the same time.
_RANK = [
    State.PAYING, State.TRIALING, State.COMPLIMENTARY, State.ENDING, State.PAST_DUE, State.PAUSED, State.ENDED, State.FREE,
]  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """``premium`` says whether everything may be read, until ``until`` (None: no end in sight)."""

    state: State
    premium: bool = False
    until: datetime | None = None

    def opens(self, now: datetime) -> bool:
        """Does it give access at this moment?"""
        return self.premium and (self.until is None or self.until > now)

    def at(self, now: datetime) -> Standing:
        """The standing when time has gone on and nothing else happened."""
        if not self.premium or self.opens(now):
            return self
        return Standing(State.PAUSED if self.state is State.PAUSED else State.ENDED)


def standing(held: Sequence[Kept], grants: Sequence[Grant], grace: timedelta, now: datetime) -> Standing:
    """The best of all that a reader holds; ``free`` when that is nothing."""
    found = [of_subscription(one, grace).at(now) for one in held]
    found += [Standing(State.COMPLIMENTARY, True, one.until).at(now) for one in grants]
    return max(found, key=_worth, default=Standing(State.FREE))


def of_subscription(one: Kept, grace: timedelta) -> Standing:
    """What one subscription at Stripe gives; the table stands in docs/how-to/paid.md."""
    if one.status in ("", "incomplete", "incomplete_expired"):
        return Standing(State.FREE)
    if one.dispute == "lost" or one.status == "unpaid":
        return Standing(State.ENDED)
    if one.status == "canceled":
        return _canceled(one)
    if one.dispute == "open":
        return _graced(one.disputed_at, grace)
    if one.status == "paused" or one.collection_paused:
        return _paused(one)
    if one.status == "past_due":
        return _graced(one.invoice_at or one.period_start, grace)
    if one.cancel_at:
        return Standing(State.ENDING, True, one.cancel_at)
    trial = one.status == "trialing" and one.pause_kind != "kept"  # days kept from a pause are a trial only to Stripe
    return Standing(State.TRIALING if trial else State.PAYING, True)


def current(access: Access | None, now: datetime) -> Standing:
    """A standing that was written down, as it is at this moment."""
    return Standing(State(access.state), access.premium, access.until).at(now) if access else Standing(State.FREE)


def settle(tx: Tx, subscriber_id: int, grace: timedelta, now: datetime) -> tuple[Standing, Standing]:
    """Compute a reader's standing anew and write it down; before and after. Take the reader's lock first."""
    before = entitlements.get(tx, subscriber_id)
    after = standing(subscriptions.of_reader(tx, subscriber_id), entitlements.grants(tx, subscriber_id), grace, now)
    was = Standing(State(before.state), before.premium, before.until) if before else Standing(State.FREE)
    if was != after:
        entitlements.put(tx, subscriber_id, after.state, after.premium, after.until)
        events.info("access.changed", subscriber=subscriber_id, before=was.state, after=after.state)
    return was, after


def _canceled(one: Kept) -> Standing:
    """Ended before its time and not given back: what was paid for is kept."""
    paid_until = one.period_end if one.invoice_status == "paid" else None
    if one.pause_kind in ("keep", "serve") and one.paid_until:
        waited = one.ended_at - one.paused_at if one.pause_kind == "keep" and one.ended_at and one.paused_at else timedelta(0)
        paid_until = one.paid_until + waited
    if one.pause_kind == "kept" and one.trial_end and one.ended_at and one.trial_end > one.ended_at:
        paid_until = one.trial_end  # it ended while the days kept from a pause were served
    if paid_until and one.ended_at and paid_until > one.ended_at and not one.refunded:
        return Standing(State.ENDING, True, paid_until)
    return Standing(State.ENDED)


def _graced(since: datetime | None, grace: timedelta) -> Standing:
    return Standing(State.PAST_DUE, True, since + grace) if since else Standing(State.PAST_DUE)


def _paused(one: Kept) -> Standing:
    """``keep``: the paid days wait for the reader. Otherwise, and when paused by hand at Stripe, they are served out."""
    if one.pause_kind == "keep":
        return Standing(State.PAUSED)
    paid = one.paid_until or (one.period_end if one.invoice_status == "paid" else None)
    return Standing(State.PAUSED, True, paid) if paid else Standing(State.PAUSED)


def _worth(one: Standing) -> tuple[bool, float, int]:
    lasts = (one.until.timestamp() if one.until else float("inf")) if one.premium else 0.0
    return one.premium, lasts, -_RANK.index(one.state)
