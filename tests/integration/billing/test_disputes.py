"""Disputes: money that the bank took back ends access in the end; a mere inquiry changes nothing."""

from __future__ import annotations

import pytest

from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.billing.stripe_reconcile import reconcile
from mailer.flows.billing.subscription_changes import withdraw_from_contract
from tests.paying import Shop

THANKS = "Thank you! You now have full access"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.add_subscriber()
    shop.buy()
    shop.hear()
    return shop


def dispute(shop: Shop, *statuses: str) -> None:
    """A dispute that goes through these states, each of them heard of."""
    with shop.fake.lock:
        made = shop.fake.books.dispute(shop.fake.books.of("charge")[0]["id"], statuses[0])
    for status in statuses:
        with shop.fake.lock:
            shop.fake.books.judge(made["id"], status)
        shop.hear()


def notices(shop: Shop) -> str:
    with shop.database.transaction() as tx:
        return " ".join(row["text"] for row in tx.all("SELECT text FROM notices ORDER BY id"))


@pytest.mark.parametrize(
    "statuses",
    [
        ("warning_needs_response",),
        ("warning_needs_response", "warning_under_review", "warning_closed"),
        ("prevented",),
        ("a_state_of_next_year",),
    ],
)
def test_a_dispute_in_which_no_money_has_moved_changes_no_access_and_says_nothing_false(
    shop: Shop, statuses: tuple[str, ...]
) -> None:
    dispute(shop, *statuses)
    reconcile(shop.database, shop.settings)
    assert shop.entitlement().state is EntitlementState.PAYING
    assert shop.subjects() == [THANKS]
    assert "is disputed" not in notices(shop)
    assert ("No money has moved, and access is unchanged" in notices(shop)) is ("warning_needs_response" in statuses)


@pytest.mark.parametrize("first", ["needs_response", "warning_needs_response"])
def test_a_dispute_is_named_as_one_and_a_won_one_restores_everything(shop: Shop, first: str) -> None:
    dispute(shop, first, "needs_response")
    assert shop.entitlement().state is EntitlementState.PAST_DUE
    assert shop.entitlement().premium
    assert shop.subjects() == [THANKS, "Your payment was disputed"]
    assert "is disputed. The subscriber keeps access for the grace period" in notices(shop)
    with shop.fake.lock:
        shop.fake.books.judge(shop.fake.books.of("dispute")[0]["id"], "won")
    shop.hear()
    assert shop.entitlement().state is EntitlementState.PAYING
    assert shop.subjects() == [THANKS, "Your payment was disputed"]


def test_a_lost_dispute_ends_access_and_promises_nothing_about_later_charges(shop: Shop) -> None:
    dispute(shop, "needs_response", "lost")
    assert shop.entitlement().state is EntitlementState.ENDED
    assert shop.subjects()[-1] == "You no longer have full access"
    with shop.database.transaction() as tx:
        said = str(tx.value("SELECT facts FROM transactional_emails ORDER BY id DESC LIMIT 1"))
    assert "won’t be charged again" not in said  # Stripe renews the subscription until somebody cancels it


def test_a_subscriber_can_withdraw_while_their_bank_has_the_money(shop: Shop) -> None:
    dispute(shop, "needs_response")
    with shop.database.transaction() as tx:
        subscriber = int(tx.value("SELECT id FROM subscribers"))
    assert withdraw_from_contract(shop.database, shop.settings, subscriber) == 0
    assert shop.fake.books.of("subscription")[0]["status"] == "canceled"
