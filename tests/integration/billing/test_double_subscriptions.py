"""Two subscriptions of one subscriber: the paid one is kept, the other is ended, and what the email says is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.fake_stripe import EventFaults, FakeStripe
from mailer.fakes.fake_stripe_books import DAY, MONTH, StripeObject
from mailer.flows.billing import gifts, subscription_changes
from mailer.flows.billing.entitlements import EntitlementState
from tests import paying
from tests.paying import Shop


@pytest.fixture
def shop(database: Database, tmp_path: Path, fake: FakeStripe) -> Shop:
    (tmp_path / "plans.toml").write_text("[plans.monthly]\nprice = 5\n")
    return Shop(paying.settings(tmp_path, database, fake, plans=tmp_path / "plans.toml"), database, fake)


def first(shop: Shop, status: str = "active", **more: object) -> tuple[int, StripeObject]:
    """A subscriber and their first subscription, in a state that Stripe and we know of."""
    subscriber, bought = shop.add_subscriber(), shop.buy()
    change(shop, bought, status=status, **more)
    shop.hear()
    return subscriber, bought


def change(shop: Shop, sub: StripeObject, **fields: object) -> None:
    with shop.fake.lock:
        sub.update(fields)
        shop.fake.books.emit("customer.subscription.updated", sub)


def state(shop: Shop, sub: StripeObject) -> str:
    return str(shop.fake.books.get(sub["id"])["status"])


def refunded(shop: Shop, sub: StripeObject) -> int:
    return -sum(amount for customer, amount in shop.fake.books.charged if customer == sub["customer"] and amount < 0)


def sentences(shop: Shop) -> str:
    with shop.database.transaction() as tx:
        rows = tx.all("SELECT facts FROM transactional_emails WHERE kind = 'paid' ORDER BY id")
    return " ".join(sentence for row in rows for sentence in row["facts"]["sentences"])


@pytest.mark.parametrize("status", ["past_due", "unpaid", "trialing"])
def test_paying_anew_keeps_the_paid_subscription_and_ends_the_unpaid_one_without_a_refund(shop: Shop, status: str) -> None:
    _, old = first(shop, status)
    new = shop.buy()
    shop.hear(EventFaults(twice=1.0))
    assert (state(shop, old), state(shop, new)) == ("canceled", "active")
    assert shop.entitlement().state is EntitlementState.PAYING
    assert (refunded(shop, old), refunded(shop, new)) == (0, 0)
    assert shop.subjects().count("You’ll only be charged once") == 1
    assert "Your new subscription replaces the earlier one, which we’ve ended." in sentences(shop)
    assert "refund" not in sentences(shop)


def test_a_failed_renewal_that_we_have_not_heard_of_yet_does_not_end_the_new_subscription(shop: Shop) -> None:
    _, old = first(shop)
    with shop.fake.lock:
        shop.fake.books.bad_cards.add(old["customer"])
        shop.fake.books.advance(MONTH + DAY)
        shop.fake.books.events.clear()  # they come late
    new = shop.buy()
    shop.hear()
    assert (state(shop, old), state(shop, new)) == ("canceled", "active")
    assert shop.entitlement().premium


def test_paying_anew_after_a_lost_dispute_keeps_the_new_subscription(shop: Shop) -> None:
    _, old = first(shop)
    with shop.fake.lock:
        shop.fake.books.judge(shop.fake.books.dispute(shop.fake.books.of("charge")[0]["id"])["id"], "lost")
    shop.hear()
    assert not shop.entitlement().premium
    new = shop.buy()
    shop.hear()
    assert (state(shop, old), state(shop, new)) == ("canceled", "active")
    assert shop.entitlement().state is EntitlementState.PAYING


def test_of_two_paid_subscriptions_the_later_one_is_refunded(shop: Shop) -> None:
    shop.add_subscriber()
    old, new = shop.buy(), shop.buy()  # two checkouts at once
    shop.hear(EventFaults(shuffled=True, twice=0.5))
    assert (state(shop, old), state(shop, new)) == ("active", "canceled")
    assert (refunded(shop, old), refunded(shop, new)) == (0, 500)
    assert "will refund its payment of €5.00. The first one continues." in sentences(shop)
    assert shop.entitlement().state is EntitlementState.PAYING


def test_a_second_subscription_that_was_not_charged_is_not_said_to_be_refunded(shop: Shop) -> None:
    first(shop)
    new = shop.buy(trial_days=14)
    shop.hear()
    assert state(shop, new) == "canceled"
    assert "We’ve ended the second one without charging you for it." in sentences(shop)
    assert "refund" not in sentences(shop)


def test_a_first_payment_that_is_incomplete_replaces_nothing(shop: Shop) -> None:
    _, old = first(shop)
    new = shop.buy()
    change(shop, new, status="incomplete")
    shop.hear()
    assert (state(shop, old), state(shop, new)) == ("active", "incomplete")


@pytest.mark.parametrize("pause", [{"status": "paused"}, {"pause_collection": {"behavior": "void"}}])
def test_the_buttons_act_on_the_subscription_that_gives_access(shop: Shop, pause: dict[str, object]) -> None:
    subscriber, old = first(shop)
    change(shop, old, **pause)
    shop.hear()
    new = shop.buy()
    shop.hear()
    page = subscription_changes.get_page(shop.database, shop.settings, subscriber)
    assert page
    assert page.running
    assert page.running.stripe_id == new["id"]
    subscription_changes.cancel_subscription(shop.database, shop.settings, subscriber)
    assert shop.fake.books.get(new["id"])["cancel_at_period_end"]
    assert not shop.fake.books.get(old["id"])["cancel_at_period_end"]


def test_complimentary_access_beside_a_subscription_ends_neither(shop: Shop) -> None:
    _, old = first(shop)
    gifts.grant_complimentary(shop.database, shop.settings, "ada@example.org", None, "a friend")
    shop.hear()
    assert state(shop, old) == "active"
    assert shop.entitlement().state is EntitlementState.PAYING
