"""Subscriptions that another tool sold become ours: same card, same price, no email."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailer.core.errors import BadInput
from mailer.flows.billing.stripe_reconcile import reconcile
from mailer.flows.billing.subscription_takeover import take_over
from mailer.store.subscribers import subscribers
from tests.conftest import ROOT
from tests.paying import Shop


@pytest.fixture
def foreign(shop: Shop) -> str:
    shop.settings = replace(shop.settings, plans=ROOT / "docs" / "plans.example.toml")
    return shop.price("", 700, "month")


def count_emails(shop: Shop) -> int:
    with shop.database.transaction() as tx:
        return int(tx.value("SELECT count(*) FROM transactional_emails"))


def test_a_payer_of_another_tool_gets_access_and_no_email(shop: Shop, foreign: str) -> None:
    shop.add_subscriber("ada@example.org")
    sold = shop.buy("Ada@example.org", foreign)
    shop.hear()
    assert shop.entitlement().premium is False
    shown = take_over(shop.database, shop.settings, {}, apply=False)
    assert [(one.price_id, one.amount, one.running, one.known) for one in shown.prices.values()] == [(foreign, 700, 1, 1)]
    assert take_over(shop.database, shop.settings, {foreign: "monthly"}, apply=False).taken == 1
    assert shop.entitlement().premium is False
    assert take_over(shop.database, shop.settings, {foreign: "monthly"}, apply=True).taken == 1
    charged = list(shop.fake.books.charged)
    assert (shop.entitlement().state, count_emails(shop)) == ("paying", 0)
    assert shop.fake.books.get(sold["id"])["metadata"]["postmerge_plan"] == "monthly"
    shop.hear()
    assert reconcile(shop.database, shop.settings).differences == ()
    assert take_over(shop.database, shop.settings, {}, apply=True).prices == {}
    assert (shop.entitlement().state, count_emails(shop), shop.fake.books.charged) == ("paying", 0, charged)
    assert shop.fake.unkeyed == []


def test_who_is_not_on_the_list_or_pays_twice_is_named_and_left_alone(shop: Shop, foreign: str) -> None:
    shop.add_subscriber("bob@example.org")
    shop.buy("bob@example.org")
    shop.hear()
    shop.buy("bob@example.org", foreign)
    shop.buy("nobody@example.org", foreign)
    before = count_emails(shop)
    done = take_over(shop.database, shop.settings, {foreign: "monthly"}, apply=True)
    assert (done.taken, done.unknown, len(done.doubles)) == (0, ["nobody@example.org"], 1)
    assert "bob@example.org" in done.doubles[0]
    reconcile(shop.database, shop.settings)
    assert [one["status"] for one in shop.fake.books.of("subscription")] == ["active"] * 3
    assert (shop.entitlement("bob@example.org").state, count_emails(shop)) == ("paying", before)


def test_who_unsubscribed_keeps_their_access_and_stays_unsubscribed(shop: Shop, foreign: str) -> None:
    ada = shop.add_subscriber()
    with shop.database.transaction() as tx:
        subscribers.unsubscribe(tx, ada)
    shop.buy(price=foreign)
    take_over(shop.database, shop.settings, {foreign: "monthly"}, apply=True)
    with shop.database.transaction() as tx:
        found = subscribers.get(tx, ada)
    assert found
    assert (found.state, shop.entitlement().premium, count_emails(shop)) == ("unsubscribed", True, 0)


def test_a_customers_id_in_the_imported_list_finds_the_subscriber_of_another_address(shop: Shop, foreign: str) -> None:
    ada = shop.add_subscriber("ada@example.org")
    sold = shop.buy("old-address@example.org", foreign)
    with shop.database.transaction() as tx:
        subscribers.add_metadata(tx, ada, {"stripe_customer_id": sold["customer"]})
    assert take_over(shop.database, shop.settings, {foreign: "monthly"}, apply=True).taken == 1
    assert shop.entitlement().premium


def test_an_unknown_price_or_a_plan_of_another_interval_is_refused(shop: Shop, foreign: str) -> None:
    shop.buy(price=foreign)
    for plans, reason in (({"price_x": "monthly"}, "has the price"), ({foreign: "yearly"}, "different intervals")):
        with pytest.raises(BadInput, match=reason):
            take_over(shop.database, shop.settings, plans, apply=True)
    with pytest.raises(BadInput, match="no plan 'gold'"):
        take_over(shop.database, shop.settings, {foreign: "gold"}, apply=True)
