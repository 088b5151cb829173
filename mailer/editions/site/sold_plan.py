"""The plan that a page names where paid text begins: the recommended one of ``plans.toml``, else the first."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from babel.numbers import format_currency

from mailer.core import i18n


@dataclass(frozen=True)
class SoldPlan:
    """``price`` is in major units of ``currency`` (a code such as EUR), for a month or a year as ``every`` says."""

    price: Decimal
    currency: str
    every: str

    def price_in(self, lang: str) -> str:
        """Return the price in a language: €5.00 every month."""
        spoken = i18n.spoken(lang)
        say, money = i18n.translator(spoken), format_currency(self.price, self.currency, locale=str(i18n.locale(spoken)))
        return say("%(money)s every year", money=money) if self.every == "year" else say("%(money)s every month", money=money)


def read_sold_plan(path: Path) -> SoldPlan | None:
    """Read it; None if the file is missing or invalid, which the payment's own pages and checks report."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        plans = list(raw["plans"].values())
        plan = next((one for one in plans if one.get("recommended")), plans[0])
        currency = str(raw.get("terms", {}).get("currency", "eur")).upper()
        return SoldPlan(Decimal(str(plan["price"])), currency, str(plan.get("every", "month")))
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
        return None
