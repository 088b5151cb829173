"""Currencies and amounts as Stripe counts them: in minor units, which are not ISO 4217's for every currency.

Source: docs.stripe.com/currencies. Codes and written forms come from CLDR, through Babel.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

_ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))  # the last digit must be 0
_TWO_DECIMAL_WITHOUT_FRACTIONS = frozenset(("ISK", "UGX"))  # 5 ISK is 500, and 501 is refused
MAX_MINOR_UNITS = 99_999_999  # Stripe's limit for most currencies


@cache
def list_currencies() -> frozenset[str]:
    """Return the codes of today's currencies, in capitals."""
    from babel.core import get_global

    return frozenset(
        code
        for territory in get_global("territory_currencies").values()
        for code, _start, end, is_tender in territory
        if end is None and is_tender
    )


def to_major_units(amount: int, currency: str) -> Decimal:
    """Convert minor units to the currency's own: 500 eur is 5.00, and 500 isk is 5."""
    exact = Decimal(amount).scaleb(-_count_decimals(currency))
    return exact.to_integral_value() if currency.upper() in _TWO_DECIMAL_WITHOUT_FRACTIONS and exact % 1 == 0 else exact


def to_minor_units(amount: Decimal, currency: str) -> int:
    """Convert an amount to minor units that Stripe takes: rounded to fils in tens, and to whole krónur."""
    step = _get_step(currency)
    return int((amount.scaleb(_count_decimals(currency)) / step).to_integral_value(ROUND_HALF_UP)) * step


def parse_amount(text: str, currency: str) -> int | None:
    """Parse an amount that a person typed, such as 5 or 5,00; None if it is none in this currency."""
    digits = re.fullmatch(r"(\d{1,9})(?:[.,](\d{1,3}))?", text.strip(), re.ASCII)
    fraction = (digits[2] or "") if digits else ""
    if digits is None or len(fraction) > _count_shown_decimals(currency):  # 1,000 may be a thousand
        return None
    amount = to_minor_units(Decimal(f"{digits[1]}.{fraction or 0}"), currency)
    return amount if 0 < amount <= MAX_MINOR_UNITS else None


def format_money(amount: int, currency: str, lang: str = "en") -> str:
    """Return an amount in minor units in its usual written form: €5.00, 5,00 €, ¥500. No digit of it is hidden."""
    from babel.numbers import format_currency, get_currency_precision

    major, code = to_major_units(amount, currency), currency.upper()
    has_fraction = get_currency_precision(code) == 0 and major % 1 != 0
    written = format_currency(major, code, locale=lang, currency_digits=not has_fraction)
    return re.sub(r"(?<=[A-Z])(?=\d)", "\xa0", written)  # CLDR's spacing after a code, which Babel leaves out


def format_amount(amount: int, currency: str, lang: str = "en") -> str:
    """Return an amount in minor units without its currency, as a person types it: 8.00, 8,00."""
    from babel.numbers import get_decimal_symbol

    return str(to_major_units(amount, currency)).replace(".", get_decimal_symbol(lang))


def _count_decimals(currency: str) -> int:
    code = currency.upper()
    return 0 if code in _ZERO_DECIMAL else 3 if code in _THREE_DECIMAL else 2


def _count_shown_decimals(currency: str) -> int:
    return 0 if currency.upper() in _TWO_DECIMAL_WITHOUT_FRACTIONS else _count_decimals(currency)


def _get_step(currency: str) -> int:
    code = currency.upper()
    return 10 if code in _THREE_DECIMAL else 100 if code in _TWO_DECIMAL_WITHOUT_FRACTIONS else 1
