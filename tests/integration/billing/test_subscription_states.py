"""A subscriber's own buttons in every state of a subscription: what may be done, until when, and what is charged after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.fakes.fake_stripe import FakeStripe
from mailer.fakes.fake_stripe_books import DAY
from mailer.flows.billing import subscription_changes
from mailer.store.billing import subscriptions
from tests import paying as shops
from tests.integration.billing.test_checkout import held
from tests.paying import Shop

HOUR = 3600
RUNS = {"active": True, "trialing": True, "past_due": True, "paused": True, "canceled": False, "unpaid": False,
        "incomplete_expired": False}  # fmt: skip


@pytest.fixture
def shop(database: Database, tmp_path: Path, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(shops.settings(tmp_path, database, fake, plans=tmp_path / "plans.toml"), database, fake)
    monkeypatch.setattr(subscription_changes, "clock", lambda: datetime.fromtimestamp(fake.books.now, UTC))
    terms(made)
    return made


def terms(shop: Shop, more: str = "") -> None:
    shop.settings.plans.write_text(f'[terms]\n{more}\n[plans.monthly]\nprice = 5\n[plans.yearly]\nprice = 50\nevery = "year"\n')


def charged(shop: Shop) -> int:
    return sum(amount for _, amount in shop.fake.books.charged)


@pytest.mark.parametrize("status", RUNS)
def test_an_unsubscribed_person_is_charged_nothing_more_in_any_state(shop: Shop, status: str) -> None:
    subscriber, bought = held(shop, status)
    page = subscription_changes.get_page(shop.database, shop.settings, subscriber)
    assert page
    assert (page.running is not None) is RUNS[status]
    if not RUNS[status]:
        with pytest.raises(BadInput, match="you’re not being charged"):
            subscription_changes.cancel_subscription(shop.database, shop.settings, subscriber)
        return
    before = charged(shop)
    subscription_changes.cancel_subscription(shop.database, shop.settings, subscriber)
    if status == "past_due":  # nothing was paid for the days from here on
        assert bought["status"] == "canceled"
    with shop.fake.lock:
        shop.fake.books.advance(70 * DAY)
    assert charged(shop) == before


@pytest.mark.parametrize(
    "verb",
    [
        subscription_changes.pause_subscription,
        subscription_changes.resume_subscription,
        subscription_changes.cancel_subscription,
        subscription_changes.undo_cancellation,
        subscription_changes.withdraw_from_contract,
    ],
)
@pytest.mark.parametrize("status", [status for status, runs in RUNS.items() if not runs])
def test_no_button_does_anything_about_what_is_over(shop: Shop, status: str, verb) -> None:  # type: ignore[no-untyped-def]
    subscriber, _ = held(shop, status)
    before = charged(shop)
    with pytest.raises(BadInput):
        verb(shop.database, shop.settings, subscriber)
    assert charged(shop) == before


@pytest.mark.parametrize(
    ("more", "last_day"), [("", 14), ("withdraw_days = 14", 14), ("withdraw_days = 20", 20), ("no file", 14), ("broken [", 14)]
)
def test_a_contract_can_be_withdrawn_from_until_the_last_hour_of_the_terms_and_by_law(
    shop: Shop, more: str, last_day: int
) -> None:
    subscriber = shop.add_subscriber()
    shop.buy(price=shop.yearly)
    shop.hear()
    terms(shop, more)
    if more == "no file":
        shop.settings.plans.unlink()
    for hours, may in ((last_day * 24 - 1, True), (last_day * 24 + 1, False)):
        with shop.fake.lock:
            shop.fake.books.advance(hours * HOUR - (0 if may else last_day * 24 * HOUR - HOUR))
        page = subscription_changes.get_page(shop.database, shop.settings, subscriber)
        assert page
        assert (page.withdraw_until is not None) is may
    with pytest.raises(Refused, match="withdrawal period is over"):
        subscription_changes.withdraw_from_contract(shop.database, shop.settings, subscriber)
    assert charged(shop) == 5000


def test_what_went_back_already_cannot_be_withdrawn_again(shop: Shop) -> None:
    subscriber = shop.add_subscriber()
    shop.buy(price=shop.yearly)
    shop.hear()
    subscription_changes.refund_payment(shop.database, shop.settings, subscriber, None, end=False)
    page = subscription_changes.get_page(shop.database, shop.settings, subscriber)
    assert page
    assert page.withdraw_until is None
    with pytest.raises(Refused):
        subscription_changes.withdraw_from_contract(shop.database, shop.settings, subscriber)
    assert charged(shop) == 0


@pytest.mark.parametrize(("more", "days", "ends"), [("", 0, 90), ("pause_days = 30", 0, 30), ("pause_days = 30", 10, 10)])
def test_a_pause_ends_after_the_days_of_the_terms_or_those_that_were_asked_for(
    shop: Shop, more: str, days: int, ends: int
) -> None:
    subscriber, _ = held(shop, "active")
    terms(shop, more)
    subscription_changes.pause_subscription(shop.database, shop.settings, subscriber, days=days)
    with shop.database.transaction() as tx:
        [kept] = subscriptions.list_by_subscriber(tx, subscriber)
    assert kept.resumes_at == datetime.fromtimestamp(shop.fake.books.now + ends * DAY, UTC)


@pytest.mark.parametrize(("status", "is_kept"), [("active", True), ("trialing", True), ("past_due", False)])
def test_a_pause_keeps_the_days_that_were_paid_for_and_no_others(shop: Shop, status: str, is_kept: bool) -> None:
    subscriber, _ = held(shop, status)
    subscription_changes.pause_subscription(shop.database, shop.settings, subscriber)
    with shop.database.transaction() as tx:
        [kept] = subscriptions.list_by_subscriber(tx, subscriber)
    assert (kept.paid_until is not None) is is_kept
    assert kept.collection_paused


def test_who_has_left_has_nothing_to_pause(shop: Shop) -> None:
    subscriber, _ = held(shop, "active")
    subscription_changes.cancel_subscription(shop.database, shop.settings, subscriber)
    with pytest.raises(Refused, match="nothing to pause"):
        subscription_changes.pause_subscription(shop.database, shop.settings, subscriber)
    end = shop.entitlement().until
    assert end
    assert end - datetime.fromtimestamp(shop.fake.books.now, UTC) == timedelta(days=30)
