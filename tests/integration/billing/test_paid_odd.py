"""What goes wrong around money: a clear state and sentence each; nobody is charged twice, nobody loses what was paid for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from dateutil.relativedelta import relativedelta

from mailer.core import tokens
from mailer.fakes import fake_stripe_routes
from mailer.fakes.fake_stripe_books import DAY, MONTH
from mailer.flows.billing import stripe_reconcile, subscription_changes
from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.billing.revenue import measure_revenue
from mailer.flows.billing.stripe_setup import apply_setup, plan_setup
from mailer.store.billing import entitlement_records
from tests.integration.billing.test_paid_pages import ADA, gift_link, join, own, pay, paying_subscriber
from tests.integration.billing.test_paid_pages import shop as shop
from tests.paying import Shop

EVE = "eve@example.org"


def with_settings(shop: Shop, **more: object) -> Shop:
    return Shop(replace(shop.settings, **more), shop.database, shop.fake)  # type: ignore[arg-type]


def latest_gift_link(shop: Shop) -> str:
    with shop.database.transaction() as tx:
        return gift_link(shop, int(tx.value("SELECT max(id) FROM gifts")))


def give(shop: Shop, to: str = EVE) -> str:
    _, address = join(shop, plan="yearly", recipient=to, giver="Ada")
    pay(shop, address, "giver@example.org")
    return latest_gift_link(shop)


def until(shop: Shop, email: str) -> datetime:
    found = shop.entitlement(email).until
    assert found
    return found


def test_a_wrong_key_is_no_subscribers_matter(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    wrong = with_settings(shop, stripe_key="sk_test_wrong")
    status, text = join(wrong)
    assert status == 503
    assert "Nothing has changed" in text
    answer = wrong.client.post(f"{own(wrong, subscriber)}/pause")
    assert answer.status_code == 503
    for said in (text, answer.text):
        assert "STRIPE_SECRET_KEY" not in said
        assert "sk_test" not in said
    assert shop.entitlement().premium


@pytest.mark.slow
def test_a_plan_that_was_taken_out_of_the_file_is_not_sold_and_its_subscribers_keep_it(shop: Shop) -> None:
    paying_subscriber(shop)
    shop.settings.plans.write_text("[plans.yearly]\nprice = 50.00\nevery = 'year'\n")
    status, text = join(shop)
    assert status == 422
    assert "This is no longer available" in text
    with shop.fake.lock:
        shop.fake.books.advance(MONTH + DAY)
    shop.hear()
    assert shop.entitlement().state is EntitlementState.PAYING


def test_a_plan_that_was_deleted_at_stripe_keeps_its_subscribers_and_is_made_again(shop: Shop) -> None:
    paying_subscriber(shop)
    shop.fake.books.get(shop.monthly)["active"] = False
    assert "isn’t available right now" in join(shop)[1]
    settings = replace(shop.settings, api_url="https://api.example.org")
    apply_setup(shop.database, settings, plan_setup(shop.database, settings))
    assert join(shop)[0] == 303
    stripe_reconcile.reconcile(shop.database, shop.settings)
    assert shop.entitlement().state is EntitlementState.PAYING


def test_another_currency_is_for_new_subscribers_only(shop: Shop) -> None:
    paying_subscriber(shop)
    plans = shop.settings.plans
    plans.write_text(plans.read_text().replace('currency = "eur"', 'currency = "usd"'))
    assert "isn’t available right now" in join(shop)[1]
    settings = replace(shop.settings, api_url="https://api.example.org")
    found = plan_setup(shop.database, settings)
    assert ("note", "some pay in EUR and keep it; new ones pay in USD") in [(c.action, c.detail) for c in found.changes]
    apply_setup(shop.database, settings, found)
    _, address = join(shop)
    pay(shop, address, "new@example.org")
    with shop.fake.lock:
        shop.fake.books.advance(MONTH + DAY)
    shop.hear()
    assert {shop.entitlement(one).state for one in (ADA, "new@example.org")} == {EntitlementState.PAYING}
    assert measure_revenue(shop.database, shop.settings).mrr == {"eur": 500, "usd": 500}


def test_who_left_and_still_reads_is_not_sent_to_pay_twice_for_the_same_days(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    shop.client.post(f"{own(shop, subscriber)}/leave")
    status, text = join(shop, t=own(shop, subscriber).rpartition("/")[2])
    assert status == 422
    assert "You won’t pay twice" in text


def test_withdrawing_gives_every_payment_back_also_earlier_ones(shop: Shop) -> None:
    plans = shop.settings.plans
    plans.write_text(plans.read_text().replace("withdraw_days = 14", "withdraw_days = 60"))
    subscriber = paying_subscriber(shop)
    with shop.fake.lock:
        shop.fake.books.advance(MONTH + DAY)
    shop.hear()
    assert sum(amount for _, amount in shop.fake.books.charged) == 1000
    shop.fake.lose_answers(3)
    for _ in range(2):
        shop.client.post(f"{own(shop, subscriber)}/withdraw")
    assert sum(amount for _, amount in shop.fake.books.charged) == 0
    assert shop.entitlement().state is EntitlementState.ENDED


def test_a_gift_for_who_pays_is_not_lost(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    link = give(shop, ADA)
    answer = shop.client.post(link)
    assert answer.status_code == 409
    assert "this gift would go to waste" in answer.text
    end = datetime.fromtimestamp(shop.fake.books.now + MONTH, UTC)
    shop.client.post(f"{own(shop, subscriber)}/leave")
    assert shop.client.post(link).status_code == 200
    assert until(shop, ADA) == end + relativedelta(months=12)
    assert shop.client.post(link).status_code == 200
    assert until(shop, ADA) == end + relativedelta(months=12)


def test_a_second_gift_begins_after_the_first(shop: Shop) -> None:
    for _ in range(2):
        assert shop.client.post(give(shop)).status_code == 200
    assert until(shop, EVE) - datetime.now(UTC) > timedelta(days=729)


@pytest.mark.parametrize("order", ["accepted before", "accepted after", "told before the gift itself", "told by nobody"])
def test_a_gift_whose_money_went_back_gives_nothing(shop: Shop, order: str) -> None:
    _, address = join(shop, plan="yearly", recipient=EVE, giver="Ada")
    if order.startswith("told"):
        with shop.fake.lock:
            session = shop.fake.books.get(address.rpartition("/")[2])
            fake_stripe_routes.complete(shop.fake.books, session["id"], "giver@example.org")
            [charge] = shop.fake.books.of("charge")
            shop.fake.books.refund(charge["id"], None)
            shop.fake.books.events.reverse()
            if order == "told by nobody":
                shop.fake.books.events.clear()
        shop.hear()
        stripe_reconcile.reconcile(shop.database, shop.settings)
        shop.client.post(latest_gift_link(shop))
    else:
        pay(shop, address, "giver@example.org")
        [charge] = shop.fake.books.of("charge")
        if order == "accepted before":
            shop.client.post(latest_gift_link(shop))
            assert shop.entitlement(EVE).premium
        with shop.fake.lock:
            shop.fake.books.refund(charge["id"], None)
        shop.hear()
        if order == "accepted after":
            assert shop.client.post(latest_gift_link(shop)).status_code == 404
    assert not shop.entitlement(EVE).premium


def test_a_gift_whose_payment_was_disputed_and_lost_ends_and_the_writer_is_told(shop: Shop) -> None:
    assert shop.client.post(give(shop)).status_code == 200
    [charge] = shop.fake.books.of("charge")
    with shop.fake.lock:
        dispute = shop.fake.books.dispute(charge["id"])
    shop.hear()
    assert shop.entitlement(EVE).premium
    with shop.fake.lock:
        shop.fake.books.judge(dispute["id"], "lost")
    shop.hear()
    assert not shop.entitlement(EVE).premium
    with shop.database.transaction() as tx:
        assert "is disputed" in tx.value("SELECT text FROM notices")


def test_a_partial_refund_of_a_gift_keeps_the_gift(shop: Shop) -> None:
    assert shop.client.post(give(shop)).status_code == 200
    [charge] = shop.fake.books.of("charge")
    with shop.fake.lock:
        shop.fake.books.refund(charge["id"], 100)
    shop.hear()
    assert shop.entitlement(EVE).premium


def test_a_gift_opens_nothing_for_whom_it_is_not_for(shop: Shop) -> None:
    """Whoever presses the button, it is the subscriber with the gift's address who gets it."""
    link = give(shop)
    mallory = shop.add_subscriber("mallory@example.org")
    assert shop.client.post(link).status_code == 200
    with shop.database.transaction() as tx:
        assert entitlement_records.get(tx, mallory) is None
    assert not shop.entitlement("mallory@example.org").premium
    assert shop.entitlement(EVE).premium
    claim = tokens.read_gift(shop.settings.need_secrets(), link.rpartition("/")[2])
    assert claim
    secrets, eve = shop.settings.need_secrets(), shop.recipient(claim.subscriber_id)
    other = shop.recipient(mallory)
    for forged in (
        tokens.gift_token(("y" * 32,), eve, claim.reference),
        tokens.gift_token(secrets, other, claim.reference),
        tokens.reading_token(secrets, eve),
    ):
        assert shop.client.post(f"/gift/{forged}").status_code == 404


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("kind", ["keep", "serve"])
def test_no_day_is_lost_or_won_by_pausing_around_the_end_of_a_period(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, hours: int, kind: str
) -> None:
    monkeypatch.setattr(subscription_changes, "clock", lambda: datetime.fromtimestamp(shop.fake.books.now, UTC))
    plans = shop.settings.plans
    plans.write_text(plans.read_text().replace('pause = "keep"', f'pause = "{kind}"'))
    subscriber = paying_subscriber(shop)
    with shop.fake.lock:
        shop.fake.books.advance(MONTH + hours * 3600)  # just before, or just after, the next payment
    shop.hear()
    with shop.fake.lock:
        [sub] = shop.fake.books.of("subscription")
        left = sub["items"]["data"][0]["current_period_end"] - shop.fake.books.now
        paid = sum(amount for _, amount in shop.fake.books.charged)
    assert paid == (500 if hours < 0 else 1000)
    subscription_changes.pause_subscription(shop.database, shop.settings, subscriber)
    with shop.fake.lock:
        shop.fake.books.advance(10 * DAY)
    shop.hear()
    assert sum(amount for _, amount in shop.fake.books.charged) == paid
    subscription_changes.resume_subscription(shop.database, shop.settings, subscriber)
    with shop.fake.lock:
        end = sub["items"]["data"][0]["current_period_end"]
        charged = sum(amount for _, amount in shop.fake.books.charged)
    assert shop.entitlement().premium
    if kind == "keep":
        assert charged == paid  # the days left begin now, however few
        assert abs(end - shop.fake.books.now - left) <= 1
    elif hours < 0:
        assert charged == paid + 500  # what was paid for is served out, so a new month begins
        assert end - shop.fake.books.now == MONTH
    else:
        assert charged == paid
        assert end - shop.fake.books.now == left - 10 * DAY


def test_pausing_and_going_on_a_hundred_times_wins_no_day(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_changes, "clock", lambda: datetime.fromtimestamp(shop.fake.books.now, UTC))
    subscriber = paying_subscriber(shop)
    [sub] = shop.fake.books.of("subscription")
    before = sub["items"]["data"][0]["current_period_end"]
    for _ in range(20):
        with shop.fake.lock:
            shop.fake.books.advance(3600)
        subscription_changes.pause_subscription(shop.database, shop.settings, subscriber)
        subscription_changes.resume_subscription(shop.database, shop.settings, subscriber)
    assert abs(sub["items"]["data"][0]["current_period_end"] - before) <= 20
    assert sum(amount for _, amount in shop.fake.books.charged) == 500


def test_a_broken_file_of_plans_takes_nothing_from_who_pays(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    shop.settings.plans.write_text("[plans.monthly\nprice = five")
    answer = shop.client.get("/join")
    assert answer.status_code == 503
    assert "We can’t show our plans right now" in answer.text
    assert "plans.toml" not in answer.text
    page = own(shop, subscriber)
    assert "Withdraw from contract here" in shop.client.get(page).text
    assert shop.client.post(f"{page}/leave").status_code == 200
    assert shop.client.post(f"{page}/withdraw").status_code == 200
    assert sum(amount for _, amount in shop.fake.books.charged) == 0
