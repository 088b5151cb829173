"""Events that say nothing bad about an address: they suppress nobody and stop no send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.flows.events import email_events
from mailer.flows.sending import circuit_breakers
from mailer.store.sending import deliveries, sends
from mailer.store.transactional import transactional_emails
from tests import factories
from tests.integration.events.test_mail_events import CLAIM, add_subscribers, claim, event, row, start, state, suppressed


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return factories.settings(tmp_path)


def process(database: Database, conf: Settings, *bodies: str) -> None:
    email_events.process_messages(database, conf, bodies)


@pytest.mark.parametrize("kinds", [("Delivery", "Transient/General"), ("Transient/General", "Delivery"), ("AutomaticReply",)])
def test_automatic_replies_to_three_sends_suppress_nobody(database: Database, conf: Settings, kinds: tuple[str, ...]) -> None:
    all_sends = [start(database, conf, 1, f"2026-11-2{n}-issue") for n in range(4)]
    [subscriber] = add_subscribers(database)
    for send_id in all_sends:
        claim(database, send_id)
        process(database, conf, *(event(send_id, subscriber, kind) for kind in kinds))
    assert suppressed(database) == {}
    expected = "accepted" if kinds == ("AutomaticReply",) else "delivered"
    assert state(database, all_sends[0], subscriber) == expected


def test_general_bounces_of_emails_that_were_never_delivered_count_as_soft(database: Database, conf: Settings) -> None:
    all_sends = [start(database, conf, 1, f"2026-11-2{n}-issue") for n in range(3)]
    [subscriber] = add_subscribers(database)
    for send_id in all_sends:
        claim(database, send_id)
        process(database, conf, event(send_id, subscriber, "Transient/General"))
    assert suppressed(database) == {"subscriber-1@example.org": "soft bounces"}
    assert row(database, all_sends[0], subscriber)["detail"] == "general bounce (General)"


@pytest.mark.parametrize("subtype", ["MessageTooLarge", "ContentRejected", "AttachmentRejected"])
def test_bounces_about_the_content_suppress_nobody(database: Database, conf: Settings, subtype: str) -> None:
    all_sends = [start(database, conf, 1, f"2026-11-2{n}-issue") for n in range(3)]
    [subscriber] = add_subscribers(database)
    for send_id in all_sends:
        claim(database, send_id)
        process(database, conf, event(send_id, subscriber, f"Transient/{subtype}"))
    assert suppressed(database) == {}
    assert row(database, all_sends[0], subscriber)["detail"] == f"content bounce ({subtype})"


HARMLESS = [
    ("Transient/General", "delivered"),
    ("AutomaticReply", "delivered"),
    ("Transient/ContentRejected", "bounced"),
    ("Permanent/OnAccountSuppressionList", "skipped"),
    ("Permanent/UnsubscribedRecipient", "skipped"),
    ("Complaint/OnAccountSuppressionList", "skipped"),
    ("Complaint/auth-failure", "delivered"),
    ("Complaint/virus", "delivered"),
    ("Complaint/not-spam", "delivered"),
]


@pytest.mark.parametrize(("kind", "ledger"), HARMLESS, ids=[kind for kind, _ in HARMLESS])
def test_a_send_full_of_events_that_say_nothing_bad_about_the_addresses_goes_on(
    database: Database, conf: Settings, kind: str, ledger: str
) -> None:
    send_id = start(database, conf, 600)
    claim(database, send_id, 600)
    ids = add_subscribers(database)
    with database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'accepted'")
    if ledger != "skipped":
        process(database, conf, *(event(send_id, one, "Delivery") for one in ids[:60]))
    process(database, conf, *(event(send_id, one, kind) for one in ids[:60]))
    assert {state(database, send_id, one) for one in ids[:60]} == {ledger}
    assert suppressed(database) == {}
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
        assert send
        assert circuit_breakers.find_stop_reason(tx, send) == ""
        assert deliveries.read_health(tx, send_id).complaints == 0


@pytest.mark.parametrize("kinds", [("Complaint", "Complaint/not-spam"), ("Complaint/not-spam", "Complaint")])
def test_a_report_of_not_spam_takes_a_complaint_back_whichever_comes_first(
    database: Database, conf: Settings, kinds: tuple[str, str]
) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    [subscriber] = add_subscribers(database)
    later = {"Complaint": 1.0, "Complaint/not-spam": 2.0}
    for kind in kinds:
        process(database, conf, event(send_id, subscriber, kind, later[kind]))
    assert (suppressed(database), state(database, send_id, subscriber)) == ({}, "delivered")
    if kinds[0] == "Complaint":
        with database.transaction() as tx:
            lifted = tx.one("SELECT reason, lifted_by, ses_due_at IS NOT NULL AS at_ses FROM lifted_suppressions")
        assert lifted == {"reason": "complaint", "lifted_by": "ses", "at_ses": True}


def test_a_complaint_about_another_email_or_a_later_one_stands(database: Database, conf: Settings) -> None:
    one, two = (start(database, conf, 1, f"2026-11-2{n}-issue") for n in range(2))
    [subscriber] = add_subscribers(database)
    for send_id in (one, two):
        claim(database, send_id)
        process(database, conf, event(send_id, subscriber, "Complaint", 1))
    process(database, conf, event(one, subscriber, "Complaint/not-spam", 2))
    assert suppressed(database) == {"subscriber-1@example.org": "complaint"}
    process(database, conf, event(two, subscriber, "Complaint/not-spam", 2))
    assert suppressed(database) == {}
    process(database, conf, event(two, subscriber, "Complaint", 3))
    assert suppressed(database) == {"subscriber-1@example.org": "complaint"}


def test_a_complaint_about_a_transactional_email_is_taken_back_too(database: Database, conf: Settings) -> None:
    factories.add_subscribers(database, 1)
    with database.transaction() as tx:
        email_id = transactional_emails.queue(tx, "paid", 1)
        transactional_emails.claim_batch(tx, CLAIM, 10)
    email = AcceptedEmail("c-1", "subscriber-1@example.org", {"mail": str(email_id)}, "Hi", 0)
    for kind, at in (("AutomaticReply", 1), ("Complaint", 2), ("Complaint/not-spam", 3)):
        process(database, conf, json.dumps(event_json(FakeEvent(kind, email, at))))
        assert suppressed(database) == ({"subscriber-1@example.org": "complaint"} if kind == "Complaint" else {})


def test_webhooks_are_told_of_bounces_and_complaints_and_of_no_automatic_reply(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    [subscriber] = add_subscribers(database)
    for kind in ("AutomaticReply", "Complaint/virus", "Complaint/not-spam", "Transient/General", "Permanent/Suppressed"):
        process(database, conf, event(send_id, subscriber, kind))
    with database.transaction() as tx:
        told = tx.all(
            "SELECT type, facts FROM events WHERE send_id = %(id)s AND subscriber_id IS NOT NULL ORDER BY id", id=send_id
        )
    assert [(one["type"], one["facts"]) for one in told] == [
        ("subscriber.bounced", {"kind": "general bounce"}),
        ("subscriber.rejected", {}),
    ]
