"""A writer's view of the money, from our tables: who pays, how much a month, who left, whose card fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.billing import entitlements
from mailer.flows.billing.entitlements import State
from mailer.store.billing import entitlements as stored_entitlements
from mailer.store.billing import subscriptions
from mailer.store.billing.subscriptions import Kept

_EARNS = (State.PAYING, State.ENDING, State.PAST_DUE)


@dataclass(frozen=True)
class PlanMoney:
    """One plan in one currency. ``mrr`` in minor units a month, ``arr`` a year: each rounded for itself."""

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
class Month:
    """What began and ended in a month; ``churn`` is ended as a share of who paid at its beginning."""

    month: str
    began: int
    ended: int
    paying_at_start: int

    @property
    def churn(self) -> float:
        """From 0 to 1; 0 when nobody paid at the beginning."""
        return self.ended / self.paying_at_start if self.paying_at_start else 0.0


@dataclass(frozen=True)
class Money:
    """``mrr`` and ``arr`` by currency, in minor units; ``readers`` by our states."""

    at: datetime
    readers: dict[str, int]
    plans: tuple[PlanMoney, ...]
    months: tuple[Month, ...]

    @property
    def mrr(self) -> dict[str, int]:
        """Monthly recurring revenue by currency."""
        total: dict[str, int] = {}
        for one in self.plans:
            total[one.currency] = total.get(one.currency, 0) + one.mrr
        return total

    @property
    def arr(self) -> dict[str, int]:
        """The same for a year: a plan of EUR 50.00 a year is EUR 50.00."""
        total: dict[str, int] = {}
        for one in self.plans:
            total[one.currency] = total.get(one.currency, 0) + one.arr
        return total


def money(database: Database, settings: Settings, months: int = 12, now: datetime | None = None) -> Money:
    """The numbers of this moment and of the last ``months`` months.

    MRR counts each subscription that is charged (also while a card fails, within the grace) at its price, coupons for ever
    taken off, divided by the months of its interval; trials and pauses count nothing.
    """
    now = now or datetime.now(UTC)
    with database.transaction() as tx:
        held = [one for one in subscriptions.every(tx) if one.plan]
        written = stored_entitlements.every(tx)
    readers = {state.value: 0 for state in State if state is not State.FREE}
    for one in written:
        standing = entitlements.current(one, now)
        if standing.state is not State.FREE:
            readers[standing.state.value] += 1
    states = [(one, entitlements.of_subscription(one, settings.grace).at(now).state) for one in held]
    return Money(now, readers, tuple(_plans(states)), tuple(_months(held, months, now)))


def monthly(one: Kept) -> float:
    """What a subscription brings a month, in minor units."""
    return one.amount / one.months


def _plans(states: Sequence[tuple[Kept, State]]) -> list[PlanMoney]:
    found = []
    for plan, currency in sorted({(one.plan, one.currency) for one, _ in states}):
        mine = [(one, state) for one, state in states if (one.plan, one.currency) == (plan, currency)]
        count = {state: sum(1 for _, other in mine if other is state) for state in State}
        earned = sum(monthly(one) for one, state in mine if state in _EARNS and one.status != "canceled")
        found.append(
            PlanMoney(
                plan, currency, count[State.PAYING], count[State.TRIALING], count[State.PAST_DUE], count[State.PAUSED],
                count[State.ENDING], round(earned), round(12 * earned),
            )
        )  # fmt: skip
    return found


def _months(held: Sequence[Kept], number: int, now: datetime) -> list[Month]:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    for back in range(number - 1, -1, -1):
        begin = first - relativedelta(months=back)
        end = begin + relativedelta(months=1)
        real = [one for one in held if one.started_at and one.status not in ("incomplete", "incomplete_expired")]
        began = sum(1 for one in real if one.started_at and begin <= one.started_at < end)
        ended = sum(1 for one in real if one.ended_at and begin <= one.ended_at < end)
        at_start = sum(1 for one in real if _ran(one, begin))
        found.append(Month(f"{begin:%Y-%m}", began, ended, at_start))
    return [month for month in found if month.began or month.ended or month.paying_at_start] or found[-1:]


def _ran(one: Kept, when: datetime) -> bool:
    """Was it charged at that moment? Trials do not count."""
    paid_from = one.trial_end if one.trial_end and one.pause_kind != "kept" else one.started_at
    return bool(paid_from and paid_from < when and not (one.ended_at and one.ended_at - when < timedelta(0)))
