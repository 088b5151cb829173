"""What the page of plans says beside the prices: a recommendation, a saving, what one gets, the terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailer.core.errors import BadInput
from mailer.editions.site.sold_plan import read_sold_plan
from mailer.payments.plans import parse_plans

MONTHLY, YEARLY = {"price": 5.0}, {"price": 50.0, "every": "year"}


def test_the_saving_is_what_twelve_months_would_cost_more() -> None:
    plans = parse_plans({"plans": {"kind": {"price": 9, "floor": 1}, "monthly": MONTHLY, "yearly": YEARLY}})
    assert plans.calculate_saving(plans.find("yearly")) == 1000
    assert plans.calculate_saving(plans.find("monthly")) == plans.calculate_saving(plans.find("kind")) == 0


def test_a_dearer_year_and_a_year_alone_save_nothing() -> None:
    dear = parse_plans({"plans": {"monthly": MONTHLY, "founder": {"price": 200, "every": "year"}}})
    alone = parse_plans({"plans": {"yearly": YEARLY}})
    assert dear.calculate_saving(dear.find("founder")) == alone.calculate_saving(alone.find("yearly")) == 0


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"plans": {"a": {**MONTHLY, "recommended": True}, "b": {**YEARLY, "recommended": True}}}, "recommends several"),
        ({"plans": {"a": MONTHLY}, "terms": {"benefits": "all of it"}}, "list of sentences"),
        ({"plans": {"a": MONTHLY}, "terms": {"url": "javascript:alert(1)"}}, "page of your terms"),
    ],
)
def test_what_cannot_be_shown_is_refused(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_plans(raw)


def test_the_page_of_an_issue_names_the_recommended_price_in_its_language(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text('[plans.a]\nprice = 5.00\n[plans.b]\nprice = 50.00\nevery = "year"\nrecommended = true\n')
    plan = read_sold_plan(path)
    assert plan
    assert plan.price_in("en") == "€50.00 every year"
    assert "50,00" in plan.price_in("de")


@pytest.mark.parametrize("text", ["", "plans = 3", "[plans.a]\nprice = 'much'", "[plans]"])
def test_broken_plans_name_no_price(tmp_path: Path, text: str) -> None:
    (tmp_path / "plans.toml").write_text(text)
    assert read_sold_plan(tmp_path / "plans.toml") is None
    assert read_sold_plan(tmp_path / "none.toml") is None
