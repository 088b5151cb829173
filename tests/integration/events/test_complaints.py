"""Whoever complained is never emailed again, whichever way one is requested."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import Refused
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.flows.billing import gifts
from mailer.flows.events import email_events
from mailer.flows.subscribers import (
    erasure,
    imports,
    inbox_limit,
    preferences,
    signup,
    subscriber_admin,
    suppression_lifting,
    unsubscribe_by_email,
)
from mailer.flows.subscribers.change_of_address import request_change
from mailer.flows.subscribers.imports import ImportPlan, ImportRequest
from mailer.flows.subscribers.preferences import LinkOwner
from mailer.flows.subscribers.subscriber_admin import Rejected, SubscriberChanges
from mailer.flows.subscribers.suppression_lifting import UnsuppressRequest
from mailer.payments.models import CheckoutSession
from mailer.store.subscribers import subscribers, suppressions
from tests import web
from tests.web import Web

ADA, OTHER = "ada@gmail.com", "a.d.a+news@googlemail.com"


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, topics=("mail", "php", "python"))


def active(site: Web, email: str) -> int:
    with site.database.transaction() as tx:
        known = subscribers.add(tx, email, email, [])
        subscribers.activate(tx, known)
    return known


def suppress(site: Web, email: str) -> None:
    with site.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=email)


def complain(site: Web, email_id: int, email: str) -> None:
    accepted = AcceptedEmail("c-1", email, {"mail": str(email_id), "kind": "confirmation"}, "Hi", 0)
    email_events.process_messages(site.database, site.settings, [json.dumps(event_json(FakeEvent("Complaint", accepted, 1)))])


def suppressed(site: Web) -> set[str]:
    with site.database.transaction() as tx:
        return {row["email_normal"] for row in tx.all("SELECT email_normal FROM suppressions WHERE reason = 'complaint'")}


def recipients(site: Web) -> set[str]:
    site.work()
    return {email.to for email in site.emails()}


def change_by_api(site: Web, email: str) -> object:
    active(site, "own@example.org")
    change = SubscriberChanges(email=email)
    return subscriber_admin.change_subscriber(site.database, "own@example.org", change, settings=site.settings)


def import_list(site: Web, *lines: str) -> ImportPlan:
    path = site.settings.build.parent / "list.csv"
    path.write_text("\n".join(["email,state", *lines, ""]))
    return imports.apply_import(site.database, site.settings, ImportRequest(path, evidence="they asked for it"))


WAYS: dict[str, Callable[[Web, str], object]] = {
    "the form": lambda site, email: signup.sign_up(site.database, email, settings=site.settings),
    "a link": lambda site, email: preferences.request_link(site.database, email),
    "an email": lambda site, email: unsubscribe_by_email.process_email(
        site.database, site.settings, f"From: {email}\r\nSubject: unsubscribe\r\n\r\nunsubscribe\r\n".encode()
    ),
    "a change of address": lambda site, email: request_change(
        site.database, LinkOwner(active(site, "own@example.org"), True), email
    ),
    "a gift": lambda site, email: gifts.record_paid_gift(
        site.database,
        CheckoutSession("cs_1", "", True, "cus_1", "eve@example.org", "", "yearly", 0, 5000, "eur", email, "", 12, "en", "p"),
        site.settings,
    ),
    "the API": lambda site, email: subscriber_admin.add_subscriber(
        site.database, site.settings, SubscriberChanges(email=email)
    ),
    "the API, as regular": lambda site, email: subscriber_admin.add_subscriber(
        site.database, site.settings, SubscriberChanges(email=email, kind="regular")
    ),
    "a change by the API": change_by_api,
    "an import": lambda site, email: import_list(site, f"{email},active"),
    "the operator": lambda site, email: signup.add_subscriber(site.database, site.settings, email, [], confirmed=True),
}  # fmt: skip


@pytest.mark.parametrize("email", [ADA, OTHER])
@pytest.mark.parametrize("is_erased", [False, True], ids=["complained", "complained and erased"])
@pytest.mark.parametrize("way", WAYS)
def test_whoever_complained_is_emailed_in_no_way_and_in_no_spelling(site: Web, way: str, is_erased: bool, email: str) -> None:
    known = active(site, ADA)
    suppress(site, ADA)
    if is_erased:
        preferences.erase_subscriber(site.database, site.settings, LinkOwner(known, True))
    with contextlib.suppress(Rejected):
        WAYS[way](site, email)
    assert recipients(site) <= {"own@example.org"}
    assert site.state(email) != "active" or email == ADA


def test_a_gift_to_somebody_who_complained_is_told_to_the_operator(site: Web) -> None:
    suppress(site, ADA)
    WAYS["a gift"](site, ADA)
    with site.database.transaction() as tx:
        assert "refund the gift" in str(tx.value("SELECT text FROM notices"))


def test_whoever_complained_is_not_emailed_at_another_address_of_theirs(site: Web) -> None:
    person = LinkOwner(active(site, ADA), True)
    suppress(site, ADA)
    assert not request_change(site.database, person, "new@example.org")
    with pytest.raises(Rejected, match="complained"):
        subscriber_admin.change_subscriber(site.database, ADA, SubscriberChanges(email="new@example.org"))
    assert recipients(site) == set()


def test_a_complaint_about_a_change_of_address_suppresses_the_address_that_got_the_email(site: Web) -> None:
    request_change(site.database, LinkOwner(active(site, "own@example.org"), True), ADA)
    assert recipients(site) == {ADA}
    complain(site, 1, ADA)
    assert suppressed(site) == {ADA}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(
    ("before", "after"), [("soft bounces", "complaint"), ("hard bounce", "complaint"), ("operator", "complaint")]
)
def test_a_complaint_in_a_list_counts_although_the_address_bounced_here(
    site: Web, is_known: bool, before: str, after: str
) -> None:
    if is_known:
        active(site, ADA)
    with site.database.transaction() as tx:
        suppressions.add(tx, [ADA], before)
    import_list(site, f"{ADA},complained")
    with site.database.transaction() as tx:
        assert tx.value("SELECT reason FROM suppressions WHERE email_normal = %(ada)s", ada=ADA) == after
    again = import_list(site, f"{ADA},complained")
    assert again.counts["same"] == 1


def block(site: Web, email: str) -> None:
    with site.database.transaction() as tx:
        suppressions.add(tx, [email], "operator")


def reason(site: Web, email: str) -> str:
    with site.database.transaction() as tx:
        return str(tx.value("SELECT reason FROM suppressions WHERE email_normal = %(email)s", email=email))


@pytest.mark.parametrize("first", ["the block", "the complaint"])
@pytest.mark.parametrize("way", WAYS)
def test_a_complaint_counts_for_the_whole_inbox_although_the_operator_blocked_the_address(
    site: Web, first: str, way: str
) -> None:
    active(site, ADA)
    if first == "the block":
        block(site, ADA)
    with site.database.transaction() as tx:
        inbox_limit.suppress_spellings(tx, [ADA])
    if first == "the complaint":
        block(site, ADA)
    assert reason(site, ADA) == "complaint"
    with contextlib.suppress(Rejected):
        WAYS[way](site, OTHER)
    assert recipients(site) <= {"own@example.org"}
    with pytest.raises(Refused, match="--complaint"):
        suppression_lifting.unsuppress(site.database, site.settings, UnsuppressRequest(ADA, "a mistake", "cli"))


@pytest.mark.parametrize("first", ["the block", "the complaint", "the list"])
def test_the_operators_block_stays_when_the_complaint_is_taken_back(site: Web, first: str) -> None:
    active(site, ADA)
    if first != "the complaint":
        block(site, ADA)
    if first == "the list":
        import_list(site, f"{ADA},complained")
    else:
        with site.database.transaction() as tx:
            inbox_limit.suppress_spellings(tx, [ADA])
    block(site, ADA)
    with site.database.transaction() as tx:
        suppression_lifting.lift_complaints(tx, [ADA])
    assert reason(site, ADA) == "operator"
    suppression_lifting.unsuppress(site.database, site.settings, UnsuppressRequest(ADA, "a mistake", "cli"))
    with site.database.transaction() as tx:
        assert erasure.may_be_emailed(tx, site.settings, ADA)


def test_erasing_who_was_blocked_keeps_an_earlier_complaint_of_the_address(site: Web) -> None:
    for why in ("complaint", "operator"):
        known = active(site, ADA)
        with site.database.transaction() as tx:
            suppressions.add(tx, [ADA], why)
        preferences.erase_subscriber(site.database, site.settings, LinkOwner(known, True))
    with site.database.transaction() as tx:
        assert set(erasure.list_erased_reasons(tx, site.settings, ADA)) == {"complaint"}


def test_a_complaint_about_a_change_of_address_suppresses_subscribers_with_other_spellings(site: Web) -> None:
    active(site, OTHER)
    request_change(site.database, LinkOwner(active(site, "own@example.org"), True), ADA)
    assert recipients(site) == {ADA}
    complain(site, 1, ADA)
    assert suppressed(site) == {ADA, OTHER}


def test_a_complaint_suppresses_former_addresses_and_other_spellings_of_the_inbox(site: Web) -> None:
    active(site, OTHER)
    known = active(site, "old@example.org")
    subscriber_admin.change_subscriber(site.database, "old@example.org", SubscriberChanges(email=ADA))
    with site.database.transaction() as tx:
        tx.run("UPDATE subscribers SET email_normal = 'ada@gmail.com' WHERE id = %(id)s", id=known)
    preferences.request_link(site.database, ADA)
    site.work()
    complain(site, 2, ADA)
    assert suppressed(site) == {ADA, OTHER, "old@example.org"}


def test_a_complaint_in_a_list_suppresses_subscribers_with_other_spellings_of_the_inbox(site: Web) -> None:
    active(site, OTHER)
    active(site, "a.d.a@example.org")
    import_list(site, f"{ADA},complained", "a.da@gmail.com,active")
    assert suppressed(site) == {ADA, OTHER, "a.da@gmail.com"}


def test_complaints_of_several_providers_suppress_exactly_the_same_inboxes(site: Web) -> None:
    others = ["a.d.a+x@gmail.com", "a_da@pm.me", "ada+y@example.org", "a.da@example.org", "adam@gmail.com", "ada@me.com"]
    for email in others:
        active(site, email)
    with site.database.transaction() as tx:
        found = inbox_limit.list_spellings(tx, [ADA, "ad.a@proton.me", "ada@example.org"])
    assert sorted(found) == ["a.d.a+x@gmail.com", "a_da@pm.me", "ada+y@example.org"]


@pytest.mark.parametrize(
    ("complained", "asks"),
    [("_ada@pm.me", "ada@proton.me"), ("ada@proton.me", "-a.da@pm.me"), ("-_a_da@pm.me", "_a.da+x@protonmail.com")],
)
@pytest.mark.parametrize("way", ["the form", "an import", "a gift"])
def test_a_character_that_a_provider_ignores_hides_no_complaint_at_the_beginning(
    site: Web, way: str, complained: str, asks: str
) -> None:
    suppress(site, complained)
    WAYS[way](site, asks)
    assert recipients(site) == set()
    assert site.state(asks) != "active"


def test_an_email_queued_before_the_complaint_is_not_sent(site: Web) -> None:
    request_change(site.database, LinkOwner(active(site, "own@example.org"), True), ADA)
    suppress(site, OTHER)
    assert recipients(site) == set()
    with site.database.transaction() as tx:
        assert tx.one("SELECT state, detail FROM transactional_emails") == {
            "state": "skipped",
            "detail": "the address is suppressed",
        }
