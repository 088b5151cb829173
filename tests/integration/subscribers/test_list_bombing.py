"""List bombing: what strangers can make us send to one inbox, by every form, page, purchase and API call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailer.core import addresses, tokens
from mailer.core.db import Database
from mailer.flows.billing import gifts, stripe_sync
from mailer.flows.subscribers import preferences, signup, signup_limits, subscriber_admin, unsubscribe_by_email
from mailer.flows.subscribers.change_of_address import request_change
from mailer.flows.subscribers.preferences import LinkOwner
from mailer.flows.subscribers.subscriber_admin import SubscriberChanges
from mailer.payments.models import CheckoutSession, Subscription
from mailer.store.subscribers import subscribers
from tests import web
from tests.web import Web

VICTIM = "victim@gmail.com"
UNSUBSCRIBE = b"From: %s\r\nTo: unsubscribe@example.org\r\nSubject: unsubscribe\r\n\r\nunsubscribe\r\n"


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("mail", "php", "python"))


def active(site: Web, email: str) -> int:
    with site.database.transaction() as tx:
        known = subscribers.add(tx, email, email, [])
        subscribers.activate(tx, known)
    return known


def queued(site: Web, state: str = "pending") -> int:
    with site.database.transaction() as tx:
        return int(tx.value("SELECT count(*) FROM transactional_emails WHERE state = %(state)s", state=state))


def spell(number: int) -> str:
    """One of many spellings of the victim's inbox."""
    name = "".join(char + ("." if number >> place & 1 and place < 5 else "") for place, char in enumerate("victim"))
    return f"{name}+{number}@{'gmail.com' if number % 2 else 'googlemail.com'}"


def session(number: int, recipient: str) -> CheckoutSession:
    return CheckoutSession(
        f"cs_{number}", "", True, "cus_1", "giver@example.org", "", "yearly", 0, 5000, "eur", recipient, "Eve", 12, "en",
        f"pi_{number}",
    )  # fmt: skip


def pay(site: Web, number: int) -> None:
    fetched = Subscription(f"sub_{number}", f"cus_{number}", "monthly", "active", 0, "eur", 1, 0, spell(number))
    with site.database.transaction() as tx:
        stripe_sync._find_subscriber(tx, site.settings, fetched)


@pytest.mark.parametrize(
    ("email", "inbox"),
    [
        ("ada@example.org", "ada@example.org"),
        ("ada+news@example.org", "ada@example.org"),
        ("a.da@example.org", "a.da@example.org"),
        ("a.d.a+x+y@gmail.com", "ada@gmail.com"),
        ("ada@googlemail.com", "ada@gmail.com"),
        ("a.d-a_b@pm.me", "adab@proton.me"),
        ("ada@mac.com", "ada@icloud.com"),
        ("+@example.org", "+@example.org"),
    ],
)
def test_spellings_that_lead_to_one_mailbox_are_one_inbox(email: str, inbox: str) -> None:
    assert addresses.inbox(addresses.normal(email)) == inbox


def test_48_spellings_of_one_inbox_get_one_email_and_store_one_row(site: Web) -> None:
    for number in range(48):
        answer = site.client.post("/subscribe", data={"email": spell(number), "token": site.form_token()})
        assert (answer.status_code, "Check your inbox" in answer.text) == (200, True)
    assert queued(site) == site.counted("transactional_emails") == site.counted("subscribers") == 1


def test_eight_accounts_that_move_to_one_inbox_cause_one_email(site: Web) -> None:
    for number in range(8):
        request_change(site.database, LinkOwner(active(site, f"own-{number}@example.org"), True), spell(number))
    assert queued(site) == site.counted("transactional_emails") == 1


def test_erasing_the_accounts_that_caused_emails_does_not_free_the_inbox(site: Web) -> None:
    for number in range(3):
        person = LinkOwner(active(site, f"own-{number}@example.org"), True)
        assert request_change(site.database, person, VICTIM) is (number == 0)
        preferences.erase_subscriber(site.database, site.settings, person)


def test_erasing_a_subscriber_erases_what_the_limit_knows_of_their_inbox(site: Web) -> None:
    signup.sign_up(site.database, VICTIM, settings=site.settings)
    assert site.counted("inbox_emails") == 1
    subscriber_admin.erase_subscriber(site.database, site.settings, VICTIM)
    assert site.counted("inbox_emails") == 0


def change_unconfirmed(site: Web, number: int) -> None:
    """An API client gives somebody who has not confirmed the victim's address."""
    with site.database.transaction() as tx:
        subscribers.add(tx, f"own-{number}@example.org", f"own-{number}@example.org", [])
    subscriber_admin.change_subscriber(site.database, f"own-{number}@example.org", SubscriberChanges(email=spell(number)))


def remind(site: Web, number: int) -> None:
    with site.database.transaction() as tx:
        known = subscribers.add(tx, spell(number), spell(number), [])
    signup.send_reminder(site.database, site.settings, known)


def ask_for_topics(site: Web, number: int) -> None:
    active(site, spell(number))
    signup.sign_up(site.database, spell(number), ["php"], settings=site.settings)


WAYS: dict[str, Callable[[Web, int], object]] = {
    "the form": lambda site, number: site.client.post("/subscribe", data={"email": spell(number), "token": site.form_token()}),
    "topics": ask_for_topics,
    "a reminder": remind,
    "a change of address": lambda site, number: request_change(
        site.database, LinkOwner(active(site, f"own-{number}@example.org"), True), spell(number)
    ),
    "the API": lambda site, number: subscriber_admin.add_subscriber(
        site.database, site.settings, SubscriberChanges(email=spell(number))
    ),
    "a change by the API": change_unconfirmed,
    "a gift": lambda site, number: gifts.record_paid_gift(site.database, session(number, spell(number))),
    "a payment": pay,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_email_an_inbox_counts_for_all_others(site: Web, way: str) -> None:
    WAYS[way](site, 0)
    assert queued(site) == 1
    for number, other in enumerate(WAYS.values(), 1):
        other(site, number)
    assert queued(site) == 1


@pytest.mark.parametrize("way", ["the page", "the unsubscribe address", "the API"])
def test_links_to_one_inbox_are_three_an_hour_by_every_way_to_ask(site: Web, way: str) -> None:
    for number in range(5):
        email = f"victim+{number}@example.org"
        active(site, email)
        if way == "the page":
            site.client.post("/reader", data={"email": email, "token": site.form_token()})
        elif way == "the API":
            subscriber_admin.send_preferences_link(site.database, email)
        else:
            unsubscribe_by_email.process_email(site.database, site.settings, UNSUBSCRIBE % email.encode())
    assert queued(site) == site.counted("transactional_emails") == 3


@pytest.mark.parametrize("way", ["a gift", "a payment"])
def test_what_was_paid_for_is_held_and_not_lost_when_the_inbox_is_over_its_limit(site: Web, way: str) -> None:
    signup.sign_up(site.database, VICTIM, settings=site.settings)
    WAYS[way](site, 1)
    assert (queued(site), queued(site, "held")) == (1, 1)
    assert signup_limits.release_held(site.database, None) == 1


def test_one_link_that_renews_links_many_times_at_once_causes_one_email(site: Web) -> None:
    known = active(site, VICTIM)
    token = tokens.unsubscribe_token(site.settings.need_secrets(), site.recipient(known), 1)
    owners = [preferences.identify(site.database, site.settings, token) for _ in range(5)]
    for owner in owners:
        assert owner
        preferences.renew_links(site.database, owner)
    assert queued(site) == 1


def test_an_email_with_new_links_counts_for_the_inbox(site: Web) -> None:
    known = active(site, VICTIM)
    preferences.renew_links(site.database, LinkOwner(known, True))
    assert not signup.sign_up(site.database, spell(3), settings=site.settings).email_queued
    assert queued(site) == 1
