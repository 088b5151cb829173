"""``postmerge money``: the numbers are right, and agree with what Stripe says."""

from __future__ import annotations

from mailer.fakes.fake_stripe_books import DAY, MONTH
from mailer.flows.billing.revenue import measure_revenue
from mailer.flows.billing.stripe_reconcile import reconcile
from mailer.payments.models import parse_timestamp
from tests.paying import Shop


def test_nobody_pays_yet(shop: Shop) -> None:
    found = measure_revenue(shop.database, shop.settings)
    assert (found.mrr, found.plans, len(found.months)) == ({}, (), 1)


def test_a_year_counts_a_twelfth_a_month_and_trials_and_pauses_nothing(shop: Shop) -> None:
    shop.buy("a@example.org")
    shop.buy("b@example.org", shop.yearly)
    shop.buy("c@example.org", trial_days=14)
    shop.buy("e@example.org", price=shop.price("dollars", 700, "month"))
    paused = shop.buy("d@example.org")
    paused["pause_collection"] = {"behavior": "void"}
    shop.hear()
    found = measure_revenue(shop.database, shop.settings)
    assert found.mrr == {"eur": 500 + 417 + 700}
    assert found.arr == {"eur": 12 * (500 + 700) + 5000}
    monthly = next(one for one in found.plans if one.plan == "monthly")
    assert (monthly.paying, monthly.trialing, monthly.paused) == (1, 1, 1)
    assert found.subscribers["paying"] == 3


def test_a_coupon_for_ever_is_counted_off(shop: Shop) -> None:
    coupon = shop.fake.books.add("coupon", "co", duration="forever", percent_off=20)
    shop.buy(discounts=[{"source": {"type": "coupon", "coupon": coupon["id"]}}])
    shop.hear()
    assert measure_revenue(shop.database, shop.settings).mrr == {"eur": 400}


def test_churn_is_who_ended_of_who_paid_at_the_start_of_the_month(shop: Shop) -> None:
    subs = [shop.buy(f"r{number}@example.org") for number in range(4)]
    with shop.fake.lock:
        subs[0]["cancel_at_period_end"] = True
        shop.fake.books.bad_cards.add(subs[1]["customer"])
        shop.fake.books.advance(MONTH + 2 * DAY)
    shop.hear()
    reconcile(shop.database, shop.settings)
    found = measure_revenue(shop.database, shop.settings, now=parse_timestamp(shop.fake.books.now))
    assert sum(month.began for month in found.months) == 4
    assert sum(month.ended for month in found.months) == 1
    [ended_in] = [month for month in found.months if month.ended]
    assert ended_in.paying_at_start == (4 if ended_in.began == 0 else 0)
    [plan] = found.plans
    assert (plan.paying, plan.failing, plan.mrr) == (2, 1, 1500)


def test_the_sum_is_what_stripe_would_charge_in_a_month(shop: Shop) -> None:
    for number in range(5):
        shop.buy(f"r{number}@example.org")
    shop.hear()
    before = len(shop.fake.books.charged)
    with shop.fake.lock:
        shop.fake.books.advance(MONTH)
    charged = sum(amount for _, amount in shop.fake.books.charged[before:])
    assert measure_revenue(shop.database, shop.settings).mrr == {"eur": charged}


def test_a_year_is_not_twelve_rounded_months(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy(price=shop.yearly)
    shop.hear()
    found = measure_revenue(shop.database, shop.settings)
    assert (found.mrr, found.arr) == ({"eur": 417}, {"eur": 5000})
