"""Revenue, from our tables: paying subscribers, monthly revenue, churn, failing cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.billing import entitlements
from mailer.flows.billing.entitlements import EntitlementState
from mailer.store.billing import entitlement_records, subscriptions
from mailer.store.billing.subscriptions import StoredSubscription

_EARNS = (EntitlementState.PAYING, EntitlementState.ENDING, EntitlementState.PAST_DUE)


@dataclass(frozen=True)
class PlanRevenue:
    """One plan in one currency. ``mrr`` is in minor units a month, ``arr`` a year, each rounded separately."""

    plan: str
    currency: str
    paying: int
    trialing: int
    failing: int
    paused: int
    ending: int
    mrr: int
    arr: int


@dataclass(frozen=True)
class RevenueMonth:
    """Subscriptions begun and ended in a month; ``churn`` is the share ended of those paying at its start."""

    month: str
    began: int
    ended: int
    paying_at_start: int

    @property
    def churn(self) -> float:
        """From 0 to 1; 0 if nobody was paying at the start."""
        return self.ended / self.paying_at_start if self.paying_at_start else 0.0


@dataclass(frozen=True)
class Revenue:
    """``mrr`` and ``arr`` by currency, in minor units; ``subscribers`` by entitlement state."""

    at: datetime
    subscribers: dict[str, int]
    plans: tuple[PlanRevenue, ...]
    months: tuple[RevenueMonth, ...]

    @property
    def mrr(self) -> dict[str, int]:
        """Monthly recurring revenue by currency."""
        total: dict[str, int] = {}
        for one in self.plans:
            total[one.currency] = total.get(one.currency, 0) + one.mrr
        return total

    @property
    def arr(self) -> dict[str, int]:
        """Annual recurring revenue by currency: a plan of EUR 50.00 a year counts as EUR 50.00."""
        total: dict[str, int] = {}
        for one in self.plans:
            total[one.currency] = total.get(one.currency, 0) + one.arr
        return total


def measure_revenue(database: Database, settings: Settings, months: int = 12, now: datetime | None = None) -> Revenue:
    """Return the figures for this moment and the last ``months`` months.

    MRR counts each charged subscription (also during the grace period of a failing card) at its price less permanent coupons,
    divided by the months of its interval; trials and pauses count as nothing.
    """
    now = now or datetime.now(UTC)
    with database.transaction() as tx:
        held = [one for one in subscriptions.list_all(tx) if one.plan]
        written = entitlement_records.list_all(tx)
    subscribers = {state.value: 0 for state in EntitlementState if state is not EntitlementState.FREE}
    for one in written:
        entitlement = entitlements.restore_entitlement(one, now)
        if entitlement.state is not EntitlementState.FREE:
            subscribers[entitlement.state.value] += 1
    states = [(one, entitlements.decide_for_subscription(one, settings.grace).at(now).state) for one in held]
    return Revenue(now, subscribers, tuple(_measure_plans(states)), tuple(_measure_months(held, months, now)))


def get_monthly_amount(one: StoredSubscription) -> float:
    """Return a subscription's revenue a month, in minor units."""
    return one.amount / one.months


def _measure_plans(states: Sequence[tuple[StoredSubscription, EntitlementState]]) -> list[PlanRevenue]:
    found = []
    for plan, currency in sorted({(one.plan, one.currency) for one, _ in states}):
        mine = [(one, state) for one, state in states if (one.plan, one.currency) == (plan, currency)]
        count = {state: sum(1 for _, other in mine if other is state) for state in EntitlementState}
        earned = sum(get_monthly_amount(one) for one, state in mine if state in _EARNS and one.status != "canceled")
        found.append(
            PlanRevenue(
                plan=plan,
                currency=currency,
                paying=count[EntitlementState.PAYING],
                trialing=count[EntitlementState.TRIALING],
                failing=count[EntitlementState.PAST_DUE],
                paused=count[EntitlementState.PAUSED],
                ending=count[EntitlementState.ENDING],
                mrr=round(earned),
                arr=round(12 * earned),
            )
        )
    return found


def _measure_months(held: Sequence[StoredSubscription], number: int, now: datetime) -> list[RevenueMonth]:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    for back in range(number - 1, -1, -1):
        begin = first - relativedelta(months=back)
        end = begin + relativedelta(months=1)
        real = [one for one in held if one.started_at and one.status not in ("incomplete", "incomplete_expired")]
        began = sum(1 for one in real if one.started_at and begin <= one.started_at < end)
        ended = sum(1 for one in real if one.ended_at and begin <= one.ended_at < end)
        at_start = sum(1 for one in real if _was_charged_at(one, begin))
        found.append(RevenueMonth(f"{begin:%Y-%m}", began, ended, at_start))
    return [month for month in found if month.began or month.ended or month.paying_at_start] or found[-1:]


def _was_charged_at(one: StoredSubscription, when: datetime) -> bool:
    """Return whether a subscription was charged at that moment. Trials do not count."""
    paid_from = one.trial_end if one.trial_end and one.pause_kind != "kept" else one.started_at
    return bool(paid_from and paid_from < when and not (one.ended_at and one.ended_at - when < timedelta(0)))
