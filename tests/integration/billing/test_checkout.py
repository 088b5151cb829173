"""What is requested from Stripe: every currency, every interval, trials, gifts, and nobody who pays already."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.fakes.fake_stripe import FakeStripe
from mailer.fakes.fake_stripe_books import DAY, StripeObject
from mailer.flows.billing import checkout
from mailer.flows.billing.checkout import CheckoutOrder
from mailer.payments.models import parse_timestamp
from tests import paying as shops
from tests.paying import Shop

PLANS = """
[terms]
currency = "{currency}"
[plans.monthly]
price = {price}
floor = {floor}
trial_days = 14
gift = true
[plans.yearly]
every = "year"
price = {price}
floor = {floor}
trial_days = 14
gift = true
"""
INTERVALS = {"monthly": "month", "yearly": "year"}


@pytest.fixture
def shop(database: Database, tmp_path: Path, fake: FakeStripe) -> Shop:
    return selling(Shop(shops.settings(tmp_path, database, fake, plans=tmp_path / "plans.toml"), database, fake))


def selling(shop: Shop, currency: str = "eur", price: int = 5, floor: int = 3) -> Shop:
    """The shop with a plan for each interval, in this currency; amounts in the currency's own units."""
    shop.settings.plans.write_text(PLANS.format(currency=currency, price=price, floor=floor))
    for name, plan in ((shop.monthly, "monthly"), (shop.yearly, "yearly")):
        product = shop.fake.books.add("product", "prod", active=True)
        shop.fake.books.get(name).update(lookup_key=f"postmerge_{plan}", product=product["id"], currency=currency)
    return shop


def session(shop: Shop, **order: Any) -> StripeObject:
    """What is requested from Stripe."""
    order = {"plan": "monthly", "form": f"form-{time.monotonic_ns()}", **order}
    address = checkout.start_checkout(shop.database, shop.settings, CheckoutOrder(**order))
    return shop.fake.books.get(address.rpartition("/")[2])


@pytest.mark.parametrize(
    ("currency", "price", "typed", "minor"),
    [
        ("eur", 5, "12.50", 1250), ("eur", 5, "12,5", 1250), ("usd", 5, " 7 ", 700), ("gbp", 5, "3", 300),
        ("chf", 5, "3.01", 301), ("eur", 5, "19.99", 1999), ("eur", 5, "8.20", 820),
        ("jpy", 700, "500", 500), ("jpy", 700, "1200", 1200), ("krw", 9000, "10000", 10000), ("vnd", 90_000, "95000", 95_000),
        ("isk", 900, "901", 90_100), ("ugx", 900, "901", 90_100), ("xof", 900, "3", 3), ("clp", 900, "4", 4),
        ("rwf", 3000, "3500", 3500), ("kwd", 5, "3.456", 3460), ("kwd", 5, "4", 4000),
    ],
)  # fmt: skip
def test_what_a_subscriber_types_is_what_is_charged_in_every_currency_and_interval(
    shop: Shop, currency: str, price: int, typed: str, minor: int
) -> None:
    selling(shop, currency, price)
    for plan, interval in INTERVALS.items():
        asked = session(shop, plan=plan, amount=typed)
        [line] = asked["line_items"]
        data = line["price_data"]
        assert (data["unit_amount"], data["currency"], data["recurring"]) == (minor, currency, {"interval": interval})
        assert (asked["mode"], line["quantity"], "price" in line) == ("subscription", 1, False)


@pytest.mark.parametrize("plan", INTERVALS)
@pytest.mark.parametrize(("currency", "amount"), [("eur", 500), ("jpy", 5)])
def test_a_gift_is_paid_once_and_never_again(shop: Shop, plan: str, currency: str, amount: int) -> None:
    selling(shop, currency)
    asked = session(shop, plan=plan, recipient="eve@example.org", giver="Ada")
    data = asked["line_items"][0]["price_data"]
    assert asked["mode"] == "payment"
    assert "recurring" not in data
    assert "subscription_data" not in asked
    assert (data["unit_amount"], data["currency"]) == (amount, currency)
    assert asked["metadata"]["postmerge_months"] == {"monthly": "1", "yearly": "12"}[plan]


@pytest.mark.parametrize("plan", INTERVALS)
def test_the_price_itself_is_that_of_the_plan(shop: Shop, plan: str) -> None:
    for amount in ("", " ", "5", "5.00"):
        asked = session(shop, plan=plan, amount=amount)
        assert asked["line_items"] == [{"price": {"monthly": shop.monthly, "yearly": shop.yearly}[plan], "quantity": 1}]


@pytest.mark.parametrize(
    ("currency", "typed", "is_taken"),
    [
        ("eur", "3", True), ("eur", "2.99", False), ("eur", "0", False), ("eur", "-5", False), ("eur", "999999.99", True),
        ("eur", "1000000", False), ("jpy", "3", True), ("jpy", "2", False), ("jpy", "99999999", True),
        ("jpy", "100000000", False), ("eur", "nan", False), ("eur", "inf", False), ("eur", "1e400", False),
        ("eur", "5 EUR", False), ("chf", "3.005", False), ("eur", "1,000", False), ("clp", "3.4", False), ("isk", "3.5", False),
    ],
)  # fmt: skip
def test_an_amount_is_taken_from_the_floor_to_what_stripe_takes(shop: Shop, currency: str, typed: str, is_taken: bool) -> None:
    selling(shop, currency)
    if is_taken:
        session(shop, amount=typed)
    else:
        with pytest.raises(BadInput):
            session(shop, amount=typed)
    assert len(shop.fake.books.of("checkout.session")) == is_taken


STATUSES = {
    "active": True, "trialing": True, "past_due": True, "paused": True, "canceled": False, "unpaid": False,
    "incomplete_expired": False,
}  # fmt: skip


def held(shop: Shop, status: str) -> tuple[int, StripeObject]:
    """A subscriber with a subscription in this state, as we and Stripe have it."""
    subscriber = shop.add_subscriber()
    bought = shop.buy()
    with shop.fake.lock:
        bought["status"] = status
        shop.fake.books.emit("customer.subscription.updated", bought)
    shop.hear()
    return subscriber, bought


@pytest.mark.parametrize("status", STATUSES)
def test_who_is_charged_already_is_not_sent_to_pay_again(shop: Shop, status: str) -> None:
    subscriber, _ = held(shop, status)
    if STATUSES[status]:
        with pytest.raises(Refused, match="You already have a paid subscription"):
            session(shop, subscriber_id=subscriber)
        assert shop.fake.books.of("checkout.session") == []
    else:
        assert session(shop, subscriber_id=subscriber)["mode"] == "subscription"


@pytest.mark.parametrize("plan", INTERVALS)
def test_only_the_first_subscription_has_a_trial(shop: Shop, plan: str) -> None:
    assert session(shop, plan=plan)["subscription_data"]["trial_period_days"] == 14
    known = shop.add_subscriber("bob@example.org")
    assert session(shop, plan=plan, subscriber_id=known)["subscription_data"]["trial_period_days"] == 14
    subscriber, bought = held(shop, "active")
    with shop.fake.lock:
        shop.fake.books.end(bought)
    shop.hear()
    again = session(shop, plan=plan, subscriber_id=subscriber)
    assert "trial_period_days" not in again["subscription_data"]
    assert again["customer"] == bought["customer"]


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_a_subscription_after_one_that_is_over_is_kept(shop: Shop, status: str) -> None:
    held(shop, status)
    second = shop.buy()
    shop.hear()
    assert shop.fake.books.get(second["id"])["status"] == "active"
    assert shop.entitlement().premium


def test_a_subscription_beside_one_that_ends_is_kept(shop: Shop) -> None:
    _, first = held(shop, "active")
    with shop.fake.lock:
        first.update(cancel_at=shop.fake.books.now + 10 * DAY, cancel_at_period_end=True)
        shop.fake.books.emit("customer.subscription.updated", first)
    shop.hear()
    second = shop.buy()
    shop.hear()
    assert [shop.fake.books.get(one["id"])["status"] for one in (first, second)] == ["active", "active"]
    assert parse_timestamp(shop.fake.books.get(first["id"])["cancel_at"])


@pytest.mark.parametrize("is_on", [True, False])
def test_taxes_and_coupons_are_asked_for_as_the_terms_say(shop: Shop, is_on: bool) -> None:
    text = shop.settings.plans.read_text()
    shop.settings.plans.write_text(
        text.replace("[terms]", f"[terms]\ntax = {str(is_on).lower()}\ncoupons = {str(is_on).lower()}")
    )
    asked = session(shop, amount="7")
    assert (asked["automatic_tax"], asked["allow_promotion_codes"]) == ({"enabled": is_on}, is_on)
    assert asked["line_items"][0]["price_data"]["tax_behavior"] == "inclusive"


def test_a_checkout_says_whose_it_is_and_where_it_leads_back(shop: Shop) -> None:
    subscriber = shop.add_subscriber()
    asked = session(shop, subscriber_id=subscriber, lang="de")
    marks = {"postmerge_plan": "monthly", "postmerge_reader": str(subscriber), "postmerge_lang": "de"}
    assert asked["metadata"] == asked["subscription_data"]["metadata"] == {**asked["metadata"], **marks}
    assert (asked["customer_email"], asked["locale"]) == ("ada@example.org", "de")
    assert asked["success_url"] == f"{shop.settings.api_url}/join/thanks"
    assert asked["cancel_url"] == f"{shop.settings.api_url}/join"
    assert "postmerge_reader" not in session(shop)["metadata"]


def test_the_givers_name_is_one_short_line(shop: Shop) -> None:
    asked = session(shop, plan="yearly", recipient="eve@example.org", giver="  Ada\r\nBcc: all\t" + "x" * 100)
    giver = asked["metadata"]["postmerge_giver"]
    assert giver.startswith("Ada Bcc: all xxx")
    assert len(giver) == 80


def test_an_amount_for_a_plan_with_a_fixed_price_changes_nothing(shop: Shop) -> None:
    shop.settings.plans.write_text("[plans.monthly]\nprice = 5\n")
    assert session(shop, amount="1")["line_items"] == [{"price": shop.monthly, "quantity": 1}]


def test_one_form_makes_one_checkout_and_another_amount_another(shop: Shop) -> None:
    names = [session(shop, form="one", amount=amount)["id"] for amount in ("7", "7", "7.00", "8", "")]
    assert (names[0] == names[1], len(set(names))) == (True, 4)


def test_a_price_in_another_currency_at_stripe_is_not_sold(shop: Shop) -> None:
    shop.fake.books.get(shop.monthly)["currency"] = "usd"
    with pytest.raises(Refused, match="isn’t available right now"):
        session(shop)


def test_without_plans_nothing_is_sold(shop: Shop) -> None:
    with pytest.raises(BadInput, match="Every issue is free"):
        checkout.start_checkout(shop.database, replace(shop.settings, stripe_key=""), CheckoutOrder("monthly", "form"))
    with pytest.raises(BadInput, match="no longer available"):
        session(shop, plan="founder")
