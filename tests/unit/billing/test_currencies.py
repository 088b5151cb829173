"""Amounts are counted as Stripe counts them, in every currency, and written in one way."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal

import pytest

from mailer.payments import currencies, plans


@pytest.mark.parametrize(
    ("currency", "price", "minor", "shown"),
    [
        ("rwf", "3000", 3000, "RWF\xa03,000"),
        ("jpy", "500", 500, "¥500"),
        ("mga", "4000", 4000, "MGA\xa04,000"),
        ("isk", "5", 500, "ISK\xa05"),
        ("ugx", "5000", 500_000, "UGX\xa05,000"),
        ("kwd", "1.230", 1230, "KWD\xa01.230"),
        ("tnd", "5", 5000, "TND\xa05.000"),
        ("eur", "5.00", 500, "€5.00"),
        ("huf", "1990", 199_000, "HUF\xa01,990.00"),
        ("rsd", "99.50", 9950, "RSD\xa099.50"),  # written without decimals, but charged with them
        ("rsd", "99", 9900, "RSD\xa099"),
    ],
)
def test_a_price_is_charged_and_shown_as_it_is_written(currency: str, price: str, minor: int, shown: str) -> None:
    found = plans.parse_plans(tomllib.loads(f"[terms]\ncurrency = '{currency}'\n[plans.a]\nprice = {price}"))
    assert found.plans[0].price == minor
    assert currencies.to_major_units(minor, currency) == Decimal(price)
    assert currencies.parse_amount(price, currency) == minor
    assert currencies.format_money(minor, currency) == shown


def test_stripes_zero_decimal_currencies_have_no_minor_unit() -> None:
    listed = re.findall("[A-Z]{3}", "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
    assert {code: currencies.to_minor_units(Decimal(7), code) for code in listed} == dict.fromkeys(listed, 7)


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("5,5", "eur", 550), (" 5 ", "eur", 500), ("1.234", "bhd", 1230), ("1.236", "bhd", 1240), ("5.50", "isk", None),
        ("5.5", "jpy", None), ("1,000", "eur", None), ("5 EUR", "eur", None), ("-5", "eur", None), ("0", "eur", None),
        ("nan", "eur", None), ("1e3", "eur", None), ("٥", "eur", None), ("999999999", "eur", None), ("0.001", "bhd", None),
    ],
)  # fmt: skip
def test_what_a_person_types_is_an_amount_that_stripe_takes_or_none(typed: str, currency: str, minor: int | None) -> None:
    assert currencies.parse_amount(typed, currency) == minor


def test_money_is_written_as_in_the_language() -> None:
    assert currencies.format_money(123_400, "eur", "de") == "1.234,00\xa0€"
    assert currencies.format_money(-1234, "eur") == "-€12.34"
    assert currencies.format_money(500, "xyz") == "XYZ\xa05.00"  # a currency that only Stripe knows is no error


@pytest.mark.parametrize(
    ("minor", "currency", "lang", "typed"),
    [(800, "eur", "en", "8.00"), (800, "eur", "de", "8,00"), (800, "eur", "zh", "8.00"), (500, "jpy", "fr", "500")],
)
def test_an_amount_is_shown_as_one_types_it_and_can_be_typed_so(minor: int, currency: str, lang: str, typed: str) -> None:
    assert currencies.format_amount(minor, currency, lang) == typed
    assert currencies.parse_amount(typed, currency) == minor
