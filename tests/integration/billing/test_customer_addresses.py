"""A changed address reaches Stripe, however long Stripe is away: receipts follow the subscriber."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from mailer.core import tokens
from mailer.fakes.fake_stripe import FakeStripe
from mailer.flows.billing import billing_jobs
from mailer.flows.subscribers import change_of_address, erasure, subscriber_admin
from mailer.flows.subscribers.preferences import LinkOwner
from mailer.flows.subscribers.signup import TokenResult
from mailer.flows.subscribers.subscriber_admin import SubscriberChanges
from tests.paying import Shop


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe(int(time.time()) - 60) as fake:
        yield fake


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.add_subscriber()
    shop.buy()
    shop.hear()
    return shop


def change_address(shop: Shop, new: str) -> None:
    assert change_of_address.request_change(shop.database, LinkOwner(1, True), new)
    with shop.database.transaction() as tx:
        reference = tx.value("SELECT max(id) FROM transactional_emails WHERE topic = 'new address'")
    token = tokens.address_token(shop.settings.need_secrets(), shop.recipient(1), reference, datetime.now(UTC))
    assert change_of_address.confirm_change(shop.database, shop.settings, token, None) is TokenResult.DONE


def address_at_stripe(shop: Shop) -> str:
    [customer] = shop.fake.books.of("customer")
    return str(customer["email"])


def make_due(shop: Shop) -> None:
    with shop.database.transaction() as tx:
        tx.run("UPDATE customers SET email_due_at = now() WHERE email_due_at IS NOT NULL")


def change_address_by_api(shop: Shop, new: str) -> None:
    subscriber_admin.change_subscriber(shop.database, "ada@example.org", SubscriberChanges(email=new))


@pytest.mark.parametrize("change", [change_address, change_address_by_api])
def test_a_changed_address_reaches_stripe(shop: Shop, change: Callable[[Shop, str], None]) -> None:
    change(shop, "ada@straße.de")
    assert address_at_stripe(shop) == "ada@example.org"
    assert billing_jobs.has_work(shop.database, shop.settings)
    shop.work()
    assert address_at_stripe(shop) == "ada@xn--strae-oqa.de"
    shop.hear()  # Stripe reports the change back
    assert not billing_jobs.has_work(shop.database, shop.settings)
    assert shop.fake.unkeyed == []
    with shop.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM notices") == 0


@pytest.mark.parametrize("answers_are_lost", [True, False])
def test_a_changed_address_waits_while_stripe_is_away_and_is_not_lost(shop: Shop, answers_are_lost: bool) -> None:
    change_address(shop, "ada@new.example")
    (shop.fake.lose_answers if answers_are_lost else shop.fake.break_calls)(9)
    for _ in range(8):
        shop.work()
        make_due(shop)
    shop.work()
    assert address_at_stripe(shop) == "ada@new.example"
    assert not billing_jobs.has_work(shop.database, shop.settings)


def test_of_two_changes_while_stripe_is_away_the_last_one_arrives(shop: Shop) -> None:
    shop.fake.break_calls(1000)
    change_address(shop, "ada@first.example")
    shop.work()
    change_address(shop, "ada@second.example")
    shop.work()
    shop.fake.break_calls(0)
    make_due(shop)
    shop.work()
    assert address_at_stripe(shop) == "ada@second.example"
    with shop.database.transaction() as tx:
        tx.run(
            "UPDATE transactional_emails SET created_at = created_at - interval '2 hours'"
        )  # a subscriber may change it twice
    change_address(shop, "ada@example.org")  # the same value as at the start
    shop.work()
    assert address_at_stripe(shop) == "ada@example.org"


def test_an_address_for_receipts_that_differs_at_stripe_stays(shop: Shop) -> None:
    with shop.fake.lock:
        [customer] = shop.fake.books.of("customer")
        customer["email"] = "accounts@example.org"
        shop.fake.books.emit("customer.updated", customer)
    shop.hear()
    change_address(shop, "ada@new.example")
    shop.work()
    assert address_at_stripe(shop) == "accounts@example.org"


def test_an_erased_subscribers_address_is_not_sent_any_more(shop: Shop) -> None:
    change_address(shop, "ada@new.example")
    erasure.erase_by_email(shop.database, shop.settings, "ada@new.example")
    shop.work()
    assert address_at_stripe(shop) == "ada@example.org"
    assert not billing_jobs.has_work(shop.database, shop.settings)
