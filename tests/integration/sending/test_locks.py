"""Two connections at once: what one of them holds the other waits for, passes over, or finds changed; nothing is done twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database, Tx
from mailer.core.edition import Edition
from mailer.core.errors import Refused, Unavailable
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.fakes.sns_signer import SnsSigner
from mailer.flows.events import email_events
from mailer.flows.publishing import publish
from mailer.flows.subscribers.imports import ImportRequest, apply_import
from mailer.store.billing import erased_customers, gifts, stripe_events
from mailer.store.events import delivery_events
from mailer.store.operations import webhook_outbox
from mailer.store.publishing import issues
from mailer.store.sending import deliveries, sends
from mailer.store.subscribers import bulk_actions, imports, preferences, subscriber_records, subscribers
from mailer.store.transactional import transactional_emails
from mailer.webhooks.sns import SnsVerifier
from tests import factories
from tests.factories import add_subscribers, edition, old, settings
from tests.integration.events.test_mail_events import CLAIM, claim, event, start, state
from tests.integration.publishing.test_publish import Limits
from tests.processes import eventually

TOPIC = "arn:aws:sns:eu-central-1:123456789012:events"


def is_locked(database: Database, table: str, id: int) -> bool:
    """Does somebody else hold this row?"""
    with database.transaction() as tx:
        return tx.value(f"SELECT id FROM {table} WHERE id = %(id)s FOR UPDATE SKIP LOCKED", id=id) is None


LOCKS: dict[str, tuple[str, Callable[[Tx, int], object]]] = {
    "a send": ("sends", sends.lock),
    "a subscriber": ("subscribers", subscribers.lock),
    "a subscriber, for the API": ("subscribers", subscriber_records.lock),
    "a subscriber who signs up again": (
        "subscribers",
        lambda tx, id: subscribers.add_or_lock(tx, "subscriber-1@example.org", "subscriber-1@example.org", ["new"]),
    ),
    "a subscriber whose soft bounces are counted": (
        "subscribers", lambda tx, id: delivery_events.list_soft_bouncing(tx, [id], timedelta(days=90), 3),
    ),
    "a gift": ("gifts", gifts.lock),
    "a gift, by its payment": ("gifts", lambda tx, id: gifts.lock_by_payment(tx, "pi_1")),
}  # fmt: skip


@pytest.mark.parametrize("what", LOCKS)
def test_what_is_locked_is_held_until_the_transaction_ends(database: Database, tmp_path: Path, what: str) -> None:
    send_id = start(database, settings(tmp_path), 1)
    with database.transaction() as tx:
        gift = gifts.add(tx, "cs_1", 1, "yearly", 12, 5000, "eur", "pi_1")
    table, lock = LOCKS[what]
    id = {"sends": send_id, "subscribers": 1, "gifts": gift}[table]
    assert not is_locked(database, table, id)
    with database.transaction() as tx:
        assert lock(tx, id) is not False
        assert is_locked(database, table, id)
    assert not is_locked(database, table, id)


def test_two_publishes_follow_one_another(database: Database) -> None:
    with database.transaction() as first, database.transaction() as second:
        issues.lock(first)
        second.run("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(Exception, match="lock timeout"):
            issues.lock(second)
        second._connection.rollback()


def add_webhooks(tx: Tx) -> None:
    tx.run("INSERT INTO webhooks (url, event_types, secret) VALUES ('https://example.org/', '{}', 'x')")
    for _ in range(2):
        webhook_outbox.add_test_message(tx, 1, "email.sent")


def add_single_emails(tx: Tx) -> None:
    tx.run("UPDATE subscribers SET state = 'unconfirmed'")
    for subscriber in (1, 2):
        transactional_emails.queue(tx, "confirmation", subscriber)


def add_stripe_events(tx: Tx) -> None:
    for name in ("evt_1", "evt_2"):
        stripe_events.add(tx, name, "invoice.paid", "in_1", datetime.now(UTC))


def add_erased_customers(tx: Tx) -> None:
    for subscriber in (1, 2):
        tx.run("INSERT INTO customers (stripe_id, subscriber_id) VALUES (%(id)s, %(n)s)", id=f"cus_{subscriber}", n=subscriber)
        erased_customers.add(tx, subscriber)


def add_bulk_actions(tx: Tx) -> None:
    for _ in range(2):
        bulk_actions.add(tx, "apply_tags", {"done": "0"}, ["1"])


def add_pauses(tx: Tx) -> None:
    tx.run("UPDATE subscribers SET paused_until = now() - interval '1 minute'")


Queue = tuple[Callable[[Tx], None], Callable[[Tx], Sequence[Any]]]
QUEUES: dict[str, Queue] = {
    "deliveries": (lambda tx: None, lambda tx: deliveries.claim(tx, 1, CLAIM, 1)[0]),
    "single emails": (add_single_emails, lambda tx: transactional_emails.claim_batch(tx, CLAIM, 1)[0]),
    "webhooks": (add_webhooks, lambda tx: webhook_outbox.claim(tx, 1, timedelta(minutes=2))),
    "Stripe's events": (add_stripe_events, lambda tx: stripe_events.claim_due(tx, 1)),
    "payers who were erased": (add_erased_customers, lambda tx: [one] if (one := erased_customers.claim_next(tx)) else []),
    "bulk actions": (add_bulk_actions, lambda tx: [one["id"]] if (one := bulk_actions.claim_next(tx)) else []),
    "pauses that are over": (add_pauses, lambda tx: preferences.end_pauses(tx, 1)),
}


@pytest.mark.parametrize("queue", QUEUES)
def test_two_workers_take_different_rows_and_neither_waits(database: Database, tmp_path: Path, queue: str) -> None:
    start(database, settings(tmp_path), 2)
    add, take = QUEUES[queue]
    with database.transaction() as tx:
        add(tx)
    with database.transaction() as first, database.transaction() as second, database.transaction() as third:
        for tx in (second, third):
            tx.run("SET LOCAL lock_timeout = '200ms'")
        [one], [other] = take(first), take(second)
        assert one != other
        assert list(take(third)) == []


def test_a_queues_oldest_rows_come_first(database: Database, tmp_path: Path) -> None:
    start(database, settings(tmp_path), 3)
    with database.transaction() as tx:
        add_webhooks(tx)
        tx.run("UPDATE webhook_messages SET due_at = now() - interval '1 hour' WHERE id = 2")
        assert [one.id for one in webhook_outbox.claim(tx, 1, timedelta(minutes=2))] == [2]


@pytest.mark.parametrize("departure", ["leaves", "leaves and asks again", "nothing"])
def test_somebody_who_unsubscribes_during_an_import_stays_unsubscribed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, departure: str
) -> None:
    """The import has judged everybody; before it writes, one of them unsubscribes over another connection."""
    with database.transaction() as tx:
        ada = subscribers.add(tx, "ada@example.org", "ada@example.org", [])
    path = tmp_path / "list.csv"
    path.write_text("email,tags\nada@example.org,vip\nbob@example.org,\n")
    write = imports.apply_lines

    def late(tx: Tx, run_id: int, evidence: str) -> None:
        with database.transaction() as other:
            if departure != "nothing":
                subscribers.unsubscribe(other, ada)
            if departure == "leaves and asks again":
                subscribers.reset_to_unconfirmed(other, ada)
        write(tx, run_id, evidence)

    monkeypatch.setattr(imports, "apply_lines", late)
    apply_import(database, settings(tmp_path, database.url), ImportRequest(path, evidence="signed at the fair"))
    with database.transaction() as tx:
        states = {one.email: one.state for one in subscribers.list_all(tx)}
    wanted = {"leaves": "unsubscribed", "leaves and asks again": "unconfirmed", "nothing": "active"}[departure]
    assert states == {"ada@example.org": wanted, "bob@example.org": "active"}


OTHER = edition("another", body="<p>quite another text for another day, which nobody has looked at before</p>")


@pytest.mark.parametrize(
    "late", [OTHER, edition(number=2), edition(body="<p>changed since</p>")], ids=["new", "number", "text"]
)
def test_what_no_check_has_seen_is_not_published(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: Edition
) -> None:
    """Between preflight and the lock another pipeline changed what there is to do."""
    conf = settings(tmp_path)
    add_subscribers(database, 3)
    publish.adopt_issues(database, conf, [old()])
    seen = publish.preview_publish(database, conf, [old(), edition()], [], Limits(), publish.Request())
    monkeypatch.setattr(publish, "preview_publish", lambda *_: seen)
    found = [old(), late] if late.key == edition().key else [old(), edition(), late]
    with pytest.raises(Refused, match="The ledger changed while publishing"):
        publish.publish(database, conf, found, [], Limits(), publish.Request())
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM sends") == 0
    assert len(publish.publish(database, conf, [old(), edition()], [], Limits(), publish.Request()).send_ids) == 1


def test_less_to_do_than_the_checks_saw_is_fine(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = settings(tmp_path)
    add_subscribers(database, 3)
    publish.adopt_issues(database, conf, [old()])
    seen = publish.preview_publish(database, conf, [old(), edition()], [], Limits(), publish.Request())
    assert len(publish.publish(database, conf, [old(), edition()], [], Limits(), publish.Request()).send_ids) == 1
    monkeypatch.setattr(publish, "preview_publish", lambda *_: seen)
    assert publish.publish(database, conf, [old(), edition()], [], Limits(), publish.Request()).send_ids == ()


def posted(database: Database, send_id: int, kind: str, conf: Any) -> str:
    """SNS posts an event of the first subscriber over HTTPS; the answer."""
    signer = SnsSigner("https://sns.eu-central-1.amazonaws.com")
    raw = signer.message(TOPIC, event(send_id, 1, kind))
    return email_events.process_sns_message(database, conf, SnsVerifier(TOPIC, lambda _: signer.certificate), raw)


@pytest.mark.parametrize("kind", ["Complaint", "Permanent", "Delivery"])
def test_an_event_over_https_waits_for_a_row_that_a_worker_holds(database: Database, tmp_path: Path, kind: str) -> None:
    conf = settings(tmp_path)
    send_id = start(database, conf, 1)
    claim(database, send_id)
    said: list[str] = []
    poster = threading.Thread(target=lambda: said.append(posted(database, send_id, kind, conf)))
    with database.transaction() as tx:
        deliveries.settle(tx, send_id, CLAIM, [deliveries.Settlement(1, "accepted", "m")])
        poster.start()
        poster.join(0.3)
        assert said == []
    poster.join(10)
    assert said == ["The event is recorded."]
    wanted = {"Complaint": "complained", "Permanent": "bounced", "Delivery": "delivered"}[kind]
    assert state(database, send_id, 1) == wanted
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM suppressions") == (kind != "Delivery")


def test_an_event_over_https_whose_row_stays_locked_must_come_again_and_is_taken_then(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_events, "_MAX_BUSY_SECONDS", 0.1)
    conf = settings(tmp_path)
    send_id = start(database, conf, 1)
    claim(database, send_id)
    signer = SnsSigner("https://sns.eu-central-1.amazonaws.com")
    raw, verifier = signer.message(TOPIC, event(send_id, 1, "Complaint")), SnsVerifier(TOPIC, lambda _: signer.certificate)
    with database.transaction() as tx:
        deliveries.settle(tx, send_id, CLAIM, [deliveries.Settlement(1, "accepted", "m")])
        with pytest.raises(Unavailable, match="still locked"):
            email_events.process_sns_message(database, conf, verifier, raw)
    assert email_events.process_sns_message(database, conf, verifier, raw) == "The event is recorded."
    assert email_events.process_sns_message(database, conf, verifier, raw) == "The message was processed before."
    assert state(database, send_id, 1) == "complained"


@pytest.mark.parametrize(("minutes", "is_known"), [(1, True), (61, True), (119, True), (121, False)])
def test_a_message_is_known_for_longer_than_it_could_be_replayed(
    database: Database, tmp_path: Path, minutes: int, is_known: bool
) -> None:
    conf = settings(tmp_path)
    send_id = start(database, conf, 1)
    signer = SnsSigner("https://sns.eu-central-1.amazonaws.com")
    verifier = SnsVerifier(TOPIC, lambda _: signer.certificate)
    first = signer.message(TOPIC, event(send_id, 1, "Delivery"))
    email_events.process_sns_message(database, conf, verifier, first)
    with database.transaction() as tx:
        tx.run("UPDATE sns_messages SET at = at - make_interval(mins => %(minutes)s)", minutes=minutes)
    email_events.process_sns_message(database, conf, verifier, signer.message(TOPIC, event(send_id, 1, "Send")))
    said = email_events.process_sns_message(database, conf, verifier, first)
    assert said == ("The message was processed before." if is_known else "The event is recorded.")


def test_an_event_of_a_single_email_waits_for_its_row_too(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    factories.add_subscribers(database, 1)
    with database.transaction() as tx:
        add = transactional_emails.queue(tx, "paid", 1)
        transactional_emails.claim_batch(tx, CLAIM, 10)
    email = AcceptedEmail("c-1", "subscriber-1@example.org", {"mail": str(add), "kind": "paid"}, "Hi", 0)
    body = json.dumps(event_json(FakeEvent("Permanent", email, 1)))
    done: list[email_events.EventCounts] = []
    worker = threading.Thread(target=lambda: done.append(email_events.process_messages(database, conf, [body])))
    with database.transaction() as tx:
        transactional_emails.record_outcome(tx, add, CLAIM, "accepted", "c-1", "")
        worker.start()
        worker.join(0.2)
        assert done == []
    eventually(lambda: bool(done), 10, "the event is recorded")
    assert done[0].recorded == 1


def test_events_wait_while_postgres_is_away_and_none_is_taken_for_broken(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = settings(tmp_path)
    send_id = start(database, conf, 2)
    bodies = [event(send_id, subscriber, "Delivery") for subscriber in (1, 2)]
    whole = email_events.record_events

    def away(*_given: Any) -> email_events.EventCounts:
        raise Unavailable("Postgres cannot be reached.")

    monkeypatch.setattr(email_events, "record_events", away)
    for take in (email_events.process_messages, email_events.process_one_by_one):
        with pytest.raises(Unavailable):
            take(database, conf, bodies)
    assert email_events.list_rejected(database, 10) == ([], {})
    monkeypatch.setattr(email_events, "record_events", whole)
    assert email_events.process_one_by_one(database, conf, bodies).recorded == 2
