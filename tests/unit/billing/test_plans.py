"""``plans.toml``: what is sold; what cannot be used is one sentence with its place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.payments import plans
from tests.conftest import ROOT


def test_the_example_can_be_read() -> None:
    read = plans.load_plans(ROOT / "docs" / "plans.example.toml")
    assert read
    assert [(plan.name, plan.months, plan.price, plan.floor, plan.trial_days) for plan in read.plans] == [
        ("monthly", 1, 500, None, 14), ("yearly", 12, 5000, None, 0), ("kind", 1, 800, 300, 0), ("founder", 12, 20000, None, 0),
    ]  # fmt: skip
    assert (read.currency, read.pause, read.withdraw_days) == ("eur", "keep", 14)


def test_no_file_is_no_plans(tmp_path: Path) -> None:
    assert plans.load_plans(tmp_path / "plans.toml") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "defines no plan"),
        ("[plans.a]\nprice = 0", r"\[plans.a\]: price is 0: write an amount that can be charged in EUR, such as 5.00"),
        ("[plans.a]\nprice = 1.005", "price is 1.005"),
        ("[plans.a]\nprice = true", "price is True"),
        ("[plans.a]\nprice = '5'", "price is '5'"),
        ("[plans.a]\nprice = 5\nfloor = 6", "floor is above the price"),
        ("[plans.a]\nprice = 5\nevery = 'week'", "every is 'week': write month or year"),
        ("[plans.a]\nprice = 5\ntrial = 3", "'trial' is unknown"),
        ("[plans.A]\nprice = 5", "lower-case name"),
        ("[terms]\ncurrency = 'euro'\n[plans.a]\nprice = 5", "currency is 'euro'"),
        *(
            (
                f"[terms]\ncurrency = '{code}'\n[plans.a]\nprice = 5",
                f"currency is '{code}': write the code of a current currency",
            )
            for code in ("xyz", "btc", "dem", "hrk", "€", "")
        ),
        ("[terms]\ncurrency = 'jpy'\n[plans.a]\nprice = 5.50", r"price is 5.5: .* charged in JPY, such as 500\."),
        ("[terms]\ncurrency = 'isk'\n[plans.a]\nprice = 5.50", r"price is 5.5: .* charged in ISK, such as 5\."),
        ("[terms]\ncurrency = 'kwd'\n[plans.a]\nprice = 1.234", r"price is 1.234: .* charged in KWD, such as 0.500\."),
        ("[terms]\npause = 'no'\n[plans.a]\nprice = 5", "pause is 'no'"),
        ("[terms]\nwithdraw_days = 3\n[plans.a]\nprice = 5", "from 14 to 365"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        plans.parse_plans(tomllib.loads(text))


def test_a_file_that_is_no_toml_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_text("[plans")
    with pytest.raises(BadInput, match="cannot be read"):
        plans.load_plans(tmp_path / "plans.toml")


@pytest.mark.parametrize(("key", "file", "sells"), [("sk_test_1", True, True), ("", True, False), ("sk_test_1", False, False)])
def test_something_is_sold_only_with_a_key_and_plans(tmp_path: Path, key: str, file: bool, sells: bool) -> None:
    plans = tmp_path / "plans.toml"
    if file:
        plans.write_text("[plans.monthly]\nprice = 5.00\n")
    assert Settings(stripe_key=key, plans=plans).sells is sells
