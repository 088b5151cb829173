"""Stripe's events: signed, stored once, answered fast; twice, late, shuffled or lost, they end in the same state."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.fakes.fake_stripe import EventFaults, sign
from mailer.fakes.fake_stripe_books import DAY, MONTH
from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.billing.stripe_client import get_client
from mailer.flows.billing.stripe_event_processing import store_event
from mailer.flows.billing.stripe_reconcile import reconcile
from mailer.flows.billing.stripe_sync import refresh_subscription
from mailer.payments.client import Stripe
from mailer.store.billing import stripe_events
from mailer.store.subscribers import consent_log, subscribers
from tests import paying
from tests.paying import Shop


def event(**more: object) -> bytes:
    values = {
        "id": "evt_1", "type": "customer.subscription.updated", "created": 1, "livemode": False,
        "data": {"object": {"id": "sub_1"}}, **more,
    }  # fmt: skip
    return json.dumps(values).encode()


def test_who_pays_reads_everything_from_the_event_on(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy()
    shop.hear()
    assert shop.entitlement().state is EntitlementState.PAYING
    assert shop.entitlement().premium
    assert shop.subjects() == ["Thank you! You now have full access"]


NEW = "new@example.org"


def membership(shop: Shop) -> tuple[str, int]:
    """The state of the new subscriber, and how many times they were asked to confirm."""
    with shop.database.transaction() as tx:
        asked = tx.value("SELECT count(*) FROM transactional_emails WHERE kind = 'confirmation'")
        return str(tx.value("SELECT state FROM subscribers WHERE email = %(new)s", new=NEW)), int(asked)


@pytest.mark.parametrize(
    ("amount", "trial", "expected"), [(500, 0, ("active", 0)), (0, 0, ("unconfirmed", 1)), (500, 14, ("unconfirmed", 1))]
)
def test_who_pays_with_a_new_address_is_subscribed_and_who_pays_nothing_is_asked(
    shop: Shop, amount: int, trial: int, expected: tuple[str, int]
) -> None:
    shop.buy(NEW, shop.price("own", amount, "month"), **({"trial_days": trial} if trial else {}))
    shop.hear()
    assert membership(shop) == expected
    assert shop.entitlement(NEW).premium


def test_the_first_payment_after_a_trial_subscribes_who_has_not_confirmed(shop: Shop) -> None:
    shop.buy(NEW, trial_days=14)
    shop.hear()
    shop.fake.books.advance(15 * DAY)
    with shop.database.transaction() as tx:
        tx.run("UPDATE inbox_emails SET created_at = created_at - interval '15 days'")
    shop.hear()
    assert membership(shop) == ("active", 1)


@pytest.mark.parametrize("was_confirmed", [False, True])
def test_who_was_subscribed_by_a_payment_alone_is_asked_when_it_goes_back(shop: Shop, was_confirmed: bool) -> None:
    shop.buy(NEW)
    shop.hear()
    with shop.database.transaction() as tx:
        known = subscribers.find(tx, NEW)
        assert known
        if was_confirmed:
            consent_log.record(tx, known.id, "confirmed", "page", None, {})
    with shop.fake.lock:
        [charge] = shop.fake.books.of("charge")
        shop.fake.books.refund(charge["id"], None)
    shop.hear()
    shop.hear()
    assert membership(shop) == (("active", 0) if was_confirmed else ("unconfirmed", 1))


SIGNED: dict[str, tuple[bytes, Callable[[], str], int]] = {
    "not signed": (event(), lambda: "", 403),
    "nonsense": (event(), lambda: "t=1,v1=00", 403),
    "another secret": (event(), lambda: sign(event(), "whsec_of_another"), 403),
    "another body": (event(), lambda: sign(event(id="evt_2")), 403),
    "too old": (event(), lambda: sign(event(), at=time.time() - 301), 403),
    "of the future": (event(), lambda: sign(event(), at=time.time() + 330), 403),
    "a little ahead": (event(), lambda: sign(event(), at=time.time() + 280), 200),
    "no event": (b"[]", lambda: sign(b"[]"), 400),
    "no text": (b"\xff", lambda: sign(b"\xff"), 403),
    "live": (event(livemode=True), lambda: sign(event(livemode=True)), 403),
    "another account": (event(account="acct_other"), lambda: sign(event(account="acct_other")), 403),
    "just in time": (event(), lambda: sign(event(), at=time.time() - 280), 200),
    "of no interest": (event(type="price.created"), lambda: sign(event(type="price.created")), 200),
}


@pytest.mark.parametrize("name", SIGNED)
def test_only_our_own_fresh_signed_events_of_our_mode_are_taken(shop: Shop, name: str) -> None:
    body, signature, status = SIGNED[name]
    assert shop.post(body, signature()) == status
    with shop.database.transaction() as tx:
        stored = tx.value("SELECT count(*) FROM stripe_events")
    assert stored == (1 if status == 200 and b"price" not in body else 0)


def test_an_event_is_stored_once(shop: Shop) -> None:
    assert [shop.post(event(), sign(event())) for _ in range(3)] == [200, 200, 200]
    with shop.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM stripe_events") == 1


def test_the_answer_does_not_wait_for_stripe(shop: Shop) -> None:
    before = len(shop.fake.calls)
    shop.post(event(), sign(event()))
    assert len(shop.fake.calls) == before


def test_old_secrets_hold_while_they_are_changed(shop: Shop) -> None:
    settings = paying.settings(Path("/nowhere"), shop.database, shop.fake)
    settings = type(settings)(**{**vars(settings), "stripe_webhook_secret": "whsec_new, whsec_fake_signing_secret"})
    assert store_event(shop.database, settings, sign(event()), event()) == "Stored."


@pytest.mark.parametrize(
    "habits",
    [
        EventFaults(twice=1.0),
        EventFaults(shuffled=True, twice=0.5),
        EventFaults(late=0.6),
        EventFaults(lost=0.5),
        EventFaults(lost=1.0),
    ],
    ids=["twice", "shuffled", "late", "half lost", "all lost"],
)
def test_events_that_misbehave_end_in_the_same_state(shop: Shop, habits: EventFaults) -> None:
    for name in ("ada", "bob", "eve"):
        shop.add_subscriber(f"{name}@example.org")
    ada, bob, _ = shop.buy("ada@example.org"), shop.buy("bob@example.org"), shop.buy("eve@example.org", shop.yearly)
    shop.hear(habits)
    with shop.fake.lock:
        ada["cancel_at_period_end"] = True
        shop.fake.books.emit("customer.subscription.updated", ada)
        shop.fake.books.bad_cards.add(bob["customer"])
        shop.fake.books.advance(MONTH + DAY)
    shop.hear(habits)
    reconcile(shop.database, shop.settings)
    assert shop.entitlement("ada@example.org").state is EntitlementState.ENDED
    assert shop.entitlement("bob@example.org").state is EntitlementState.PAST_DUE
    assert shop.entitlement("eve@example.org").state is EntitlementState.PAYING


def test_reconcile_shows_what_differs_and_changes_nothing_when_asked_not_to(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy()
    looked = reconcile(shop.database, shop.settings, mend=False)
    assert [(one.field, one.ours, one.theirs, one.mended) for one in looked.differences] == [
        ("subscription", "unknown", "active", False)
    ]
    assert shop.entitlement().state is EntitlementState.FREE
    assert [one.mended for one in reconcile(shop.database, shop.settings).differences] == [True]
    assert shop.entitlement().state is EntitlementState.PAYING
    assert reconcile(shop.database, shop.settings).differences == ()


def test_a_subscription_that_is_gone_from_stripe_ends(shop: Shop) -> None:
    shop.add_subscriber()
    sub = shop.buy()
    shop.hear()
    del shop.fake.books.things[sub["id"]]
    [found] = reconcile(shop.database, shop.settings).differences
    assert (found.ours, found.theirs) == ("active", "unknown")
    assert shop.entitlement().state is EntitlementState.ENDED


def test_a_subscription_that_we_did_not_sell_gives_nothing(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy(price=shop.price("", 900, "month"))
    shop.hear()
    found = reconcile(shop.database, shop.settings)
    assert (found.foreign, found.differences) == (1, ())
    assert shop.entitlement().state is EntitlementState.FREE


def test_an_event_waits_while_stripe_is_away_and_is_not_lost(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy()
    shop.fake.break_calls(200)
    shop.hear()
    assert shop.entitlement().state is EntitlementState.FREE
    shop.fake.break_calls(0)
    shop.hurry()
    shop.work()
    assert shop.entitlement().state is EntitlementState.PAYING


def test_a_stale_fetch_never_overwrites_a_fresh_one(shop: Shop) -> None:
    """Somebody writes between another's fetch and their write: the slower one fetches again."""
    shop.add_subscriber()
    sub = shop.buy()
    shop.hear()

    class Slow(Stripe):
        fetched = 0

        def get_subscription(self, stripe_id: str):  # type: ignore[no-untyped-def]
            found = super().get_subscription(stripe_id)
            self.fetched += 1
            if self.fetched == 1:
                with shop.fake.lock:
                    sub["cancel_at_period_end"] = True
                refresh_subscription(shop.database, shop.settings, get_client(shop.database, shop.settings), stripe_id)
            return found

    slow = Slow(shop.fake.key, shop.fake.url)
    refresh_subscription(shop.database, shop.settings, slow, sub["id"])
    assert slow.fetched == 2
    assert shop.entitlement().state is EntitlementState.ENDING


def test_one_person_with_two_subscriptions_is_charged_once(shop: Shop) -> None:
    shop.add_subscriber()
    first = shop.buy()
    shop.fake.books.now += 60
    second = shop.buy("ADA@example.org", shop.yearly)
    shop.hear(EventFaults(twice=0.5, shuffled=True))
    assert (first["status"], second["status"]) == ("active", "canceled")
    assert sum(amount for _, amount in shop.fake.books.charged) == 500
    assert shop.entitlement().state is EntitlementState.PAYING
    assert shop.subjects().count("You’ll only be charged once") == 1


def test_giving_back_a_second_payment_survives_lost_answers(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy()
    shop.fake.books.now += 60
    shop.buy(price=shop.yearly)
    shop.fake.lose_answers(5)
    shop.hear()
    shop.hurry()
    shop.hear()
    reconcile(shop.database, shop.settings)
    assert sum(amount for _, amount in shop.fake.books.charged) == 500
    assert shop.fake.unkeyed == []


def test_an_address_that_becomes_another_subscribers_at_stripe_moves_nothing(shop: Shop) -> None:
    ada, bob = shop.add_subscriber(), shop.add_subscriber("bob@example.org")
    sub = shop.buy()
    shop.hear()
    with shop.fake.lock:
        customer = shop.fake.books.get(sub["customer"])
        customer["email"] = "bob@example.org"
        shop.fake.books.emit("customer.updated", customer)
        shop.fake.books.emit("customer.subscription.updated", sub)
    shop.hear()
    assert shop.entitlement("ada@example.org").state is EntitlementState.PAYING
    assert shop.entitlement("bob@example.org").state is EntitlementState.FREE
    with shop.database.transaction() as tx:
        [notice] = tx.all("SELECT text FROM notices")
    assert f"(subscriber {bob})" in notice["text"]
    assert f"stays with subscriber {ada}" in notice["text"]


def test_a_new_paid_subscriber_is_told_once_and_without_an_address(shop: Shop) -> None:
    shop.settings = replace(shop.settings, notify_url="https://hooks.example.org/1")
    subscriber = shop.add_subscriber()
    shop.buy()
    for _ in range(2):
        shop.hear()
    with shop.database.transaction() as tx:
        [notice] = [row["text"] for row in tx.all("SELECT text FROM notices")]
    assert notice.startswith(f"A new paid subscriber: subscriber {subscriber}, plan ")
    assert "@" not in notice


def test_a_dispute_keeps_access_for_the_grace_and_a_lost_one_ends_it(shop: Shop) -> None:
    shop.add_subscriber()
    shop.buy()
    shop.hear()
    with shop.fake.lock:
        dispute = shop.fake.books.dispute(shop.fake.books.of("charge")[0]["id"])
    shop.hear()
    assert shop.entitlement().state is EntitlementState.PAST_DUE
    with shop.fake.lock:
        shop.fake.books.judge(dispute["id"], "lost")
    shop.hear()
    assert shop.entitlement().state is EntitlementState.ENDED


def test_a_failed_card_is_told_plainly_and_keeps_access_for_the_grace(shop: Shop) -> None:
    shop.add_subscriber()
    sub = shop.buy()
    shop.hear()
    with shop.fake.lock:
        shop.fake.books.bad_cards.add(sub["customer"])
        shop.fake.books.advance(MONTH + 4 * DAY)
    shop.hear(EventFaults(twice=1.0))
    assert shop.entitlement().state is EntitlementState.PAST_DUE
    assert shop.subjects().count("Your payment didn’t go through") == 1


def test_keys_and_databases_of_different_modes_are_not_mixed(shop: Shop, tmp_path: Path) -> None:
    live = type(shop.settings)(**{**vars(shop.settings), "stripe_key": "sk_live_x"})
    with pytest.raises(Refused, match="live key and POSTMERGE_TRANSPORT=outbox means development"):
        get_client(shop.database, live)
    with pytest.raises(Refused, match="live key and this database belongs to Stripe's test mode"):
        get_client(shop.database, type(live)(**{**vars(live), "transport": "ses"}))
    with pytest.raises(BadInput, match="STRIPE_SECRET_KEY is not set"):
        get_client(shop.database, type(live)(**{**vars(live), "stripe_key": ""}))
    with pytest.raises(BadInput, match="does not look like a secret key"):
        get_client(shop.database, type(live)(**{**vars(live), "stripe_key": "pk_test_1"}))


def test_a_wrong_key_is_one_sentence(shop: Shop) -> None:
    wrong = type(shop.settings)(**{**vars(shop.settings), "stripe_key": "sk_test_wrong"})
    with pytest.raises(Refused, match="Stripe rejects STRIPE_SECRET_KEY"):
        reconcile(shop.database, wrong)


def test_stripe_out_of_reach_is_one_sentence(shop: Shop) -> None:
    away = type(shop.settings)(**{**vars(shop.settings), "stripe_base": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable, match="Stripe does not respond"):
        reconcile(shop.database, away)


def test_random_histories_end_as_stripe_says(shop: Shop) -> None:
    chance = random.Random(7)
    habits = EventFaults(twice=0.3, lost=0.3, late=0.3, shuffled=True)
    subs = [shop.buy(f"r{number}@example.org") for number in range(12)]
    for _ in range(6):
        with shop.fake.lock:
            for sub in subs:
                if sub["status"] != "canceled" and chance.random() < 0.3:
                    sub["cancel_at_period_end"] = chance.random() < 0.5
                    shop.fake.books.emit("customer.subscription.updated", sub)
                if chance.random() < 0.2:
                    shop.fake.books.bad_cards ^= {sub["customer"]}
            shop.fake.books.advance(chance.randint(1, 20) * DAY)
        shop.hear(habits)
    reconcile(shop.database, shop.settings)
    for number, sub in enumerate(subs):
        ours = shop.entitlement(f"r{number}@example.org")
        assert (
            ours.state.value
            == {
                "active": "ending" if sub["cancel_at_period_end"] else "paying",
                "past_due": "past_due" if ours.premium else "ended",
                "canceled": "ended",
            }[sub["status"]]
        ), number
    with shop.database.transaction() as tx:
        bound = stripe_events.get_account(tx)
    assert bound
    assert not bound.livemode


def test_payments_with_many_spellings_of_an_inbox_that_nobody_confirmed_cause_few_emails(shop: Shop) -> None:
    for number in range(6):
        shop.buy(f"victim+{number}@gmail.com")
    shop.hear()
    with shop.database.transaction() as tx:
        rows = tx.all("SELECT state, count(*) AS number FROM transactional_emails GROUP BY state")
        states = tx.all("SELECT state, count(*) AS number FROM subscribers GROUP BY state ORDER BY state")
    assert {row["state"]: row["number"] for row in rows} == {"pending": 3, "held": 8}
    assert [tuple(row.values()) for row in states] == [("active", 1), ("unconfirmed", 5)]
