"""``plans.toml``: what is sold, and the terms. One reviewed file; `postmerge stripe setup` applies it to Stripe."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from mailer.core.errors import BadInput
from mailer.payments import currencies

_INTERVAL_MONTHS = {"month": 1, "year": 12}
INTERVALS = {months: interval for interval, months in _INTERVAL_MONTHS.items()}
_PLAN_KEYS = {"title", "every", "price", "floor", "trial_days", "gift", "about", "recommended"}
_TERMS_KEYS = {"currency", "tax", "pause", "pause_days", "withdraw_days", "coupons", "offer_after_leaving", "benefits", "url"}


@dataclass(frozen=True)
class PaidPlan:
    """A plan. ``price`` is in minor units; with ``floor`` subscribers choose what they pay, from that minimum."""

    name: str
    title: str
    months: int
    price: int
    floor: int | None
    trial_days: int
    gift: bool
    about: str
    recommended: bool = False


@dataclass(frozen=True)
class Plans:
    """All plans and the terms. ``pause`` is keep (paid days are saved) or serve (paid days continue to run).

    ``benefits`` are sentences about what paid subscribers get, and ``url`` is the page of the terms; either may be empty.
    """

    currency: str
    tax: bool
    pause: str
    pause_days: int
    withdraw_days: int
    coupons: bool
    offer_after_leaving: str
    plans: tuple[PaidPlan, ...]
    benefits: tuple[str, ...] = ()
    url: str = ""

    def calculate_saving(self, plan: PaidPlan) -> int:
        """Return what a year of a yearly plan costs less than twelve months of the first monthly one, in minor units; or 0."""
        monthly = next((one.price for one in self.plans if one.months == 1 and one.floor is None), 0)
        return max(0, 12 * monthly - plan.price) if plan.months == 12 and plan.floor is None else 0

    def find(self, name: str) -> PaidPlan:
        """Return the plan with this name. Raises BadInput."""
        for plan in self.plans:
            if plan.name == name:
                return plan
        raise BadInput(f"There is no plan {name!r}: choose one of {', '.join(plan.name for plan in self.plans)}.")


def load_plans(path: Path) -> Plans | None:
    """Load the file's plans; None if there is no file. Raises BadInput naming what is invalid."""
    if not path.is_file():
        return None
    try:
        return parse_plans(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}): correct it there.") from error


def parse_plans(raw: dict[str, Any], name: str = "plans.toml") -> Plans:
    """Parse the file's tables."""
    terms, plans = raw.get("terms", {}), raw.get("plans", {})
    _check_keys(f"{name}, [terms]", terms, _TERMS_KEYS)
    if not plans or not isinstance(plans, dict):
        raise BadInput(f"{name} defines no plan: add a table such as [plans.monthly] with price = 5.00.")
    currency = str(terms.get("currency", "eur")).lower()
    if currency.upper() not in currencies.list_currencies():
        raise BadInput(f"{name}, [terms]: currency is {currency!r}: write the code of a current currency, such as eur.")
    pause = terms.get("pause", "keep")
    if pause not in ("keep", "serve"):
        raise BadInput(
            f"{name}, [terms]: pause is {pause!r}: write keep (paid days are saved) or serve (they continue to run)."
        )
    if sum(bool(isinstance(table, dict) and table.get("recommended")) for table in plans.values()) > 1:
        raise BadInput(f"{name} recommends several plans: keep `recommended = true` for one of them.")
    return Plans(
        currency=currency,
        tax=bool(terms.get("tax", False)),
        pause=pause,
        pause_days=_check_days(f"{name}, [terms]: pause_days", terms.get("pause_days", 90), 1, 365),
        withdraw_days=_check_days(f"{name}, [terms]: withdraw_days", terms.get("withdraw_days", 14), 14, 365),
        coupons=bool(terms.get("coupons", False)),
        offer_after_leaving=str(terms.get("offer_after_leaving", "")),
        plans=tuple(_parse_plan(f"{name}, [plans.{key}]", key, table, currency) for key, table in plans.items()),
        benefits=_check_benefits(f"{name}, [terms]: benefits", terms.get("benefits", [])),
        url=_check_url(f"{name}, [terms]: url", terms.get("url", "")),
    )


def _parse_plan(where: str, name: str, raw: Any, currency: str) -> PaidPlan:
    if not isinstance(raw, dict) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
        raise BadInput(f"{where} cannot be read: a plan is a table with a lower-case name, such as [plans.monthly].")
    _check_keys(where, raw, _PLAN_KEYS)
    every = raw.get("every", "month")
    if every not in _INTERVAL_MONTHS:
        raise BadInput(f"{where}: every is {every!r}: write month or year.")
    price = _parse_price(f"{where}: price", raw.get("price"), currency)
    floor = _parse_price(f"{where}: floor", raw["floor"], currency) if "floor" in raw else None
    if floor is not None and floor > price:
        raise BadInput(f"{where}: the floor is above the price: lower it.")
    return PaidPlan(
        name=name,
        title=str(raw.get("title") or name.capitalize()),
        months=_INTERVAL_MONTHS[every],
        price=price,
        floor=floor,
        trial_days=_check_days(f"{where}: trial_days", raw.get("trial_days", 0), 0, 730),
        gift=bool(raw.get("gift", False)),
        about=str(raw.get("about", "")),
        recommended=bool(raw.get("recommended", False)),
    )


def _parse_price(where: str, value: Any, currency: str) -> int:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9
    exact = Decimal(str(value)) if is_number else Decimal(0)
    amount = currencies.to_minor_units(exact, currency)
    if not 0 < amount <= currencies.MAX_MINOR_UNITS or currencies.to_major_units(amount, currency) != exact:
        raise BadInput(
            f"{where} is {value!r}: write an amount that can be charged in {currency.upper()}, such as"
            f" {currencies.to_major_units(500, currency)}."
        )
    return amount


def _check_days(where: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{where} is {value!r}: write a whole number of days from {least} to {most}.")
    return value


def _check_benefits(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise BadInput(f'{where} is {value!r}: write a list of sentences, such as ["Every issue in full"].')
    return tuple(one.strip() for one in value)


def _check_url(where: str, value: Any) -> str:
    if not isinstance(value, str) or (value and not value.startswith(("https://", "http://", "/"))):
        raise BadInput(f"{where} is {value!r}: write the address of the page of your terms, such as /terms/.")
    return value


def _check_keys(where: str, table: Any, names: set[str]) -> None:
    unknown = sorted(set(table) - names) if isinstance(table, dict) else ["a table"]
    if unknown:
        raise BadInput(f"{where}: {unknown[0]!r} is unknown: use {', '.join(sorted(names))}.")
