"""An erased subscriber is never charged again, whatever Stripe does at that moment, and Stripe does not bring them back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core import tokens
from mailer.core.db import Database
from mailer.fakes import fake_stripe_routes
from mailer.fakes.fake_stripe import FakeStripe
from mailer.fakes.fake_stripe_books import DAY, MONTH
from mailer.flows.billing import billing_jobs, stripe_reconcile, subscription_changes
from mailer.flows.scheduled.subscriber_maintenance import apply_retention
from mailer.flows.subscribers import erasure
from mailer.store.billing import gifts
from tests import paying as shops
from tests.paying import Shop

ADA = "ada@example.org"


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe(int(time.time()) - 60) as fake:
        yield fake


@pytest.fixture
def shop(database: Database, tmp_path: Path, fake: FakeStripe) -> Shop:
    (tmp_path / "plans.toml").write_text("[plans.monthly]\nprice = 5.00\n")
    return Shop(shops.settings(tmp_path, database, fake, plans=tmp_path / "plans.toml"), database, fake)


def payer(shop: Shop) -> int:
    subscriber = shop.add_subscriber()
    shop.buy()
    shop.hear()
    assert shop.entitlement().premium
    return subscriber


def due(shop: Shop) -> None:
    with shop.database.transaction() as tx:
        tx.run("UPDATE customer_deletions SET due_at = now()")


def waiting(shop: Shop) -> int:
    with shop.database.transaction() as tx:
        return int(tx.value("SELECT count(*) FROM customer_deletions WHERE done_at IS NULL"))


def charged_later(shop: Shop) -> int:
    """What Stripe takes in the next three months."""
    before = len(shop.fake.books.charged)
    with shop.fake.lock:
        shop.fake.books.advance(3 * MONTH)
    return len(shop.fake.books.charged) - before


def test_an_erased_subscriber_is_not_charged_again(shop: Shop) -> None:
    subscriber = payer(shop)
    assert erasure.erase_by_email(shop.database, shop.settings, ADA)
    assert billing_jobs.has_work(shop.database, shop.settings)
    shop.work()
    assert (waiting(shop), charged_later(shop)) == (0, 0)
    assert shop.fake.unkeyed == []
    token = tokens.reading_token(shop.settings.need_secrets(), shop.recipient(subscriber))
    assert shop.client.get(f"/read/{token}").status_code == 403


@pytest.mark.parametrize("fault", ["answers get lost", "Stripe is away", "Stripe breaks for an hour"])
def test_it_ends_however_long_stripe_is_away(shop: Shop, fault: str) -> None:
    payer(shop)
    erasure.erase_by_email(shop.database, shop.settings, ADA)
    if fault == "answers get lost":
        shop.fake.lose_answers(9)  # the work is done, and nobody hears of it
    elif fault == "Stripe is away":
        shop.fake.break_calls(1000)
    else:
        shop.fake.break_calls(30)
    for _ in range(12):
        shop.work()
        due(shop)
    if fault == "Stripe is away":
        assert waiting(shop) == 1
        shop.fake.break_calls(0)
        shop.work()
    assert (waiting(shop), charged_later(shop)) == (0, 0)


def test_a_subscription_we_never_heard_of_ends_too_and_that_of_another_shop_does_not(shop: Shop) -> None:
    payer(shop)
    with shop.fake.lock:
        [customer] = shop.fake.books.of("customer")
        unheard = shop.fake.books.subscribe(customer["id"], shop.yearly, {})
        foreign = shop.fake.books.subscribe(customer["id"], shop.price("", 900, "month"), {})
        shop.fake.books.events.clear()
    erasure.erase_by_email(shop.database, shop.settings, ADA)
    shop.work()
    assert shop.fake.books.get(unheard["id"])["status"] == "canceled"
    assert shop.fake.books.get(foreign["id"])["status"] == "active"


def test_what_stripe_says_later_brings_nothing_back(shop: Shop) -> None:
    payer(shop)
    erasure.erase_by_email(shop.database, shop.settings, ADA)
    shop.work()
    with shop.fake.lock:
        [customer] = shop.fake.books.of("customer")
        shop.fake.books.emit("customer.updated", customer)
    shop.hear()
    stripe_reconcile.reconcile(shop.database, shop.settings)
    with shop.database.transaction() as tx:
        assert tx.all("SELECT email_normal FROM customers") == [{"email_normal": ""}]
        assert tx.value("SELECT count(*) FROM subscribers WHERE email <> ''") == 0
        assert tx.value("SELECT count(*) FROM transactional_emails") == 0
        assert tx.value("SELECT count(*) FROM entitlements") == 0
        assert ADA not in repr(
            [tx.all(f"SELECT * FROM {table}") for table in ("subscriptions", "notices", "customer_deletions")]
        )


def test_a_pause_of_an_erased_subscriber_never_ends_in_a_charge(shop: Shop) -> None:
    subscriber = payer(shop)
    subscription_changes.pause_subscription(shop.database, shop.settings, subscriber, days=5)
    erasure.erase_by_email(shop.database, shop.settings, ADA)
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscriptions SET resumes_at = now() - interval '1 minute'")
    assert subscription_changes.process_pauses(shop.database, shop.settings) == 0
    shop.work()
    assert charged_later(shop) == 0


def test_who_pays_anew_after_being_erased_is_a_new_subscriber_with_access(shop: Shop) -> None:
    payer(shop)
    erasure.erase_by_email(shop.database, shop.settings, ADA)
    shop.work()
    with shop.fake.lock:
        shop.fake.books.now = int(time.time()) + DAY
        [customer] = shop.fake.books.of("customer")
        shop.fake.books.subscribe(customer["id"], shop.monthly, {})
    shop.hear()
    assert shop.entitlement().premium
    with shop.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM transactional_emails WHERE kind = 'confirmation'") == 1


def test_no_link_of_an_erased_subscriber_does_anything(shop: Shop) -> None:
    subscriber = payer(shop)
    with shop.database.transaction() as tx:
        gift = gifts.add(tx, "cs_1", subscriber, "yearly", 12, 5000, "eur")
    erasure.erase_by_email(shop.database, shop.settings, ADA)
    secret = shop.settings.need_secrets()
    own = f"/paid/{tokens.paid_token(secret, shop.recipient(subscriber), datetime.now(UTC))}"
    assert shop.client.get(own).status_code == 404
    assert shop.client.post(f"{own}/pause").status_code in (404, 409)
    assert shop.client.post(f"/gift/{tokens.gift_token(secret, shop.recipient(subscriber), gift)}").status_code == 404
    with shop.database.transaction() as tx:
        assert tx.value("SELECT state FROM subscribers") == "unsubscribed"


def test_who_left_the_emails_and_still_pays_is_not_forgotten_by_the_retention_rule(shop: Shop) -> None:
    payer(shop)
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = now() - interval '9 years'")
    keep = type(shop.settings)(**{**vars(shop.settings), "keep_unsubscribed": timedelta(days=365)})
    apply_retention(shop.database, keep)
    with shop.database.transaction() as tx:
        assert tx.value("SELECT email FROM subscribers") == ADA
        tx.run("UPDATE entitlements SET premium = false, state = 'ended'")
    apply_retention(shop.database, keep)
    with shop.database.transaction() as tx:
        assert tx.value("SELECT email FROM subscribers") == ""


def test_one_pause_that_cannot_end_stops_no_other(shop: Shop) -> None:
    for name in ("ada", "bob"):
        subscriber = shop.add_subscriber(f"{name}@example.org")
        shop.buy(f"{name}@example.org")
        shop.hear()
        subscription_changes.pause_subscription(shop.database, shop.settings, subscriber, days=5)
    with shop.fake.lock:
        first, second = shop.fake.books.of("subscription")
        fake_stripe_routes.route(shop.fake.books, "DELETE", f"/v1/subscriptions/{first['id']}", {})
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscriptions SET resumes_at = now() - interval '1 minute'")
    assert subscription_changes.process_pauses(shop.database, shop.settings) == 1
    assert not shop.fake.books.get(second["id"])["pause_collection"]
