from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.flows.events import email_events
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.store.sending import deliveries
from mailer.store.sending.deliveries import Settlement
from mailer.store.subscribers import consent_log, subscribers
from mailer.store.transactional import transactional_emails
from mailer.transports.outbox import Outbox
from tests import factories
from tests.processes import eventually

CLAIM = "00000000-0000-4000-8000-000000000001"
NOW = datetime.now(UTC)


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return factories.settings(tmp_path)


def start(database: Database, conf: Settings, number: int = 5, key: str = "2026-11-24-hello") -> int:
    """A running send, frozen, nothing claimed; subscribers are made for the first."""
    with database.transaction() as tx:
        first = tx.value("SELECT count(*) FROM subscribers") == 0
    if first:
        factories.add_subscribers(database, number)
        adopt_issues(database, conf, [factories.old()])
    words = " ".join(hashlib.sha256(f"{key} {n}".encode()).hexdigest()[:8] for n in range(40))
    issues = [factories.old(), factories.edition(key, body=f"<p>{words}</p>")]
    [send_id] = publish(database, conf, issues, [], Outbox(conf.outbox), Request()).send_ids
    advance_sends(database, conf)
    return send_id


def add_subscribers(database: Database) -> list[int]:
    with database.transaction() as tx:
        return [row["id"] for row in tx.all("SELECT id FROM subscribers ORDER BY id")]


def claim(database: Database, send_id: int, size: int = 100) -> None:
    with database.transaction() as tx:
        deliveries.claim(tx, send_id, CLAIM, size)


def answer(database: Database, send_id: int, subscriber: int, state: str) -> None:
    with database.transaction() as tx:
        message_id = f"m-{subscriber}" if state == "accepted" else ""
        deliveries.settle(tx, send_id, CLAIM, [Settlement(subscriber, state, message_id)])


def event(send_id: int, subscriber: int, kind: str, seconds: float = 0, tags: bool = True, at: datetime = NOW) -> str:
    named = {"send": str(send_id), "subscriber": str(subscriber)} if tags else {}
    email = AcceptedEmail(f"m-{subscriber}", f"subscriber-{subscriber}@example.org", named, "Hello", at.timestamp())
    return json.dumps(event_json(FakeEvent(kind, email, at.timestamp() + seconds)))


def state(database: Database, send_id: int, subscriber: int) -> str:
    return str(row(database, send_id, subscriber)["state"])


def row(database: Database, send_id: int, subscriber: int) -> dict[str, Any]:
    with database.transaction() as tx:
        found = tx.one("SELECT * FROM deliveries WHERE send_id = %(s)s AND subscriber_id = %(r)s", s=send_id, r=subscriber)
    assert found
    return found


def suppressed(database: Database) -> dict[str, str]:
    with database.transaction() as tx:
        return {row["email_normal"]: row["reason"] for row in tx.all("SELECT email_normal, reason FROM suppressions")}


def test_each_event_moves_its_delivery(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 7)
    claim(database, send_id)
    ids = add_subscribers(database)
    kinds = ["Send", "Delivery", "Transient", "Permanent", "Complaint", "Reject", "DeliveryDelay"]
    for subscriber in ids:
        answer(database, send_id, subscriber, "accepted")
    taken = email_events.process_messages(database, conf, [event(send_id, r, k) for r, k in zip(ids, kinds, strict=True)])
    assert (taken.recorded, taken.duplicates, taken.unknown) == (7, 0, 0)
    states = [state(database, send_id, subscriber) for subscriber in ids]
    assert states == ["accepted", "delivered", "bounced", "bounced", "complained", "failed", "accepted"]
    assert row(database, send_id, ids[3])["detail"] == "hard bounce (General)"
    assert factories.sums_add_up(database)


@pytest.mark.parametrize("kind", ["Permanent", "Transient"])
def test_a_bounce_of_a_former_address_does_not_suppress_the_new_one(database: Database, conf: Settings, kind: str) -> None:
    conf = replace(conf, soft_bounces=1)
    send_id = start(database, conf, 2)
    claim(database, send_id)
    moved, same = add_subscribers(database)
    with database.transaction() as tx:
        subscribers.set_address(tx, moved, "new@example.org", "new@example.org")
    email_events.process_messages(database, conf, [event(send_id, one, kind) for one in (moved, same)])
    assert list(suppressed(database)) == [f"subscriber-{same}@example.org"]
    assert state(database, send_id, moved) == "bounced"


def test_a_bounce_of_a_single_email_to_a_former_address_does_not_suppress_the_new_one(
    database: Database, conf: Settings
) -> None:
    factories.add_subscribers(database, 1)
    with database.transaction() as tx:
        ids = [transactional_emails.queue(tx, "confirmation", 1, topic="page")]
    with database.transaction() as tx:
        subscribers.set_address(tx, 1, "new@example.org", "new@example.org")
        consent_log.record(tx, 1, "address", "page", None, {"before": "subscriber-1@example.org", "after": "new@example.org"})
        ids.append(transactional_emails.queue(tx, "confirmation", 1, topic="page"))
    for number, (email_id, expected) in enumerate(zip(ids, ([], ["new@example.org"]), strict=True)):
        email = AcceptedEmail(f"c-{number}", "x@example.org", {"mail": str(email_id), "kind": "confirmation"}, "Hi", 0)
        email_events.process_messages(database, conf, [json.dumps(event_json(FakeEvent("Permanent", email, 1)))])
        assert list(suppressed(database)) == expected


def test_events_that_come_twice_change_nothing(database: Database, conf: Settings) -> None:
    send_id = start(database, conf)
    claim(database, send_id)
    bodies = [event(send_id, subscriber, kind) for subscriber in add_subscribers(database) for kind in ("Send", "Transient")]
    first = email_events.process_messages(database, conf, bodies + bodies[:3])
    with database.transaction() as tx:
        before = tx.all("SELECT * FROM deliveries ORDER BY subscriber_id")
    second = email_events.process_messages(database, conf, bodies)
    with database.transaction() as tx:
        after = tx.all("SELECT * FROM deliveries ORDER BY subscriber_id")
        assert tx.value("SELECT count(*) FROM delivery_events") == 10
    assert (first.recorded, first.duplicates, second.recorded, second.duplicates) == (10, 3, 0, 10)
    assert before == after


def test_an_event_before_the_answer_settles_and_the_late_answer_does_not_undo_it(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 3)
    claim(database, send_id)
    accepted, lost, throttled = add_subscribers(database)
    email_events.process_messages(database, conf, [event(send_id, r, "Delivery") for r in (accepted, lost, throttled)])
    for subscriber, said in ((accepted, "accepted"), (lost, "uncertain"), (throttled, "pending")):
        answer(database, send_id, subscriber, said)
    assert [state(database, send_id, r) for r in add_subscribers(database)] == ["delivered"] * 3
    assert row(database, send_id, lost)["message_id"] == f"m-{lost}"


@pytest.mark.parametrize(("kind", "expected"), [("Send", "accepted"), ("Delivery", "delivered"), ("Permanent", "bounced")])
def test_an_event_settles_what_was_uncertain(kind: str, expected: str, database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    [subscriber] = add_subscribers(database)
    answer(database, send_id, subscriber, "uncertain")
    email_events.process_messages(database, conf, [event(send_id, subscriber, kind)])
    assert state(database, send_id, subscriber) == expected
    answer(database, send_id, subscriber, "accepted")
    assert state(database, send_id, subscriber) == expected


def test_a_delay_is_written_down_and_moves_nothing(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    [subscriber] = add_subscribers(database)
    answer(database, send_id, subscriber, "uncertain")
    assert email_events.process_messages(database, conf, [event(send_id, subscriber, "DeliveryDelay")]).recorded == 1
    assert state(database, send_id, subscriber) == "uncertain"


def test_a_delivery_put_back_by_mistake_is_not_sent_again_when_its_event_comes(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    [subscriber] = add_subscribers(database)
    email_events.process_messages(database, conf, [event(send_id, subscriber, "Delivery")])
    claim(database, send_id)
    assert state(database, send_id, subscriber) == "delivered"


def test_hard_bounces_and_complaints_suppress_at_once(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 3)
    claim(database, send_id)
    one, two, three = add_subscribers(database)
    email_events.process_messages(database, conf, [event(send_id, one, "Permanent"), event(send_id, two, "Complaint")])
    email_events.process_messages(database, conf, [event(send_id, one, "Complaint"), event(send_id, three, "Transient")])
    assert suppressed(database) == {"subscriber-1@example.org": "complaint", "subscriber-2@example.org": "complaint"}


def test_an_address_that_the_operator_freed_is_not_suppressed_by_an_old_event(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    body = event(send_id, add_subscribers(database)[0], "Permanent")
    email_events.process_messages(database, conf, [body])
    with database.transaction() as tx:
        tx.run("DELETE FROM suppressions")
    email_events.process_messages(database, conf, [body])
    assert suppressed(database) == {}


def test_soft_bounces_of_three_sends_in_the_window_suppress_and_no_fewer(database: Database, conf: Settings) -> None:
    sends = [start(database, conf, 2, f"2026-11-2{n}-issue") for n in range(4)]
    often, rarely = add_subscribers(database)
    old = NOW - timedelta(days=91)
    for send_id in sends:
        claim(database, send_id)
    email_events.process_messages(
        database, conf, [event(sends[0], often, "Transient", at=old), event(sends[1], rarely, "Transient")]
    )
    email_events.process_messages(
        database, conf, [event(sends[1], often, "Undetermined"), event(sends[1], often, "Transient", 5)]
    )
    email_events.process_messages(database, conf, [event(sends[2], often, "Transient")])
    assert suppressed(database) == {}
    email_events.process_messages(database, conf, [event(sends[3], often, "Transient")])
    assert suppressed(database) == {"subscriber-1@example.org": "soft bounces"}


def test_events_without_tags_find_their_email_by_the_messages_id(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    claim(database, send_id)
    [subscriber] = add_subscribers(database)
    answer(database, send_id, subscriber, "accepted")
    assert email_events.process_messages(database, conf, [event(send_id, subscriber, "Permanent", tags=False)]).recorded == 1
    assert state(database, send_id, subscriber) == "bounced"


def test_events_of_unknown_emails_are_counted_and_change_nothing(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    [subscriber] = add_subscribers(database)
    bodies = [
        event(send_id + 7, subscriber, "Permanent"),
        event(send_id, subscriber + 7, "Send"),
        event(0, 99, "Send", tags=False),
    ]
    taken = email_events.process_messages(database, conf, [*bodies, event(send_id, subscriber, "Delivery")])
    assert (taken.recorded, taken.unknown) == (1, 3)
    assert suppressed(database) == {}
    assert email_events.list_rejected(database, 10)[1] == {"hard bounce": 1, "send": 2}


def test_what_cannot_be_read_is_kept_and_does_not_stop_the_stream(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    [subscriber] = add_subscribers(database)
    bodies = ["{broken", "{broken", '{"eventType": "Elopement"}\0', event(send_id, subscriber, "Delivery")]
    taken = email_events.process_messages(database, conf, bodies)
    assert (taken.recorded, taken.rejected) == (1, 3)
    kept = {one.body: one.times for one in email_events.list_rejected(database, 10)[0]}
    assert kept["{broken"] == 2
    assert len(kept) == 2
    assert state(database, send_id, subscriber) == "delivered"


def test_an_event_that_the_database_does_not_take_is_kept_and_the_others_are_recorded(
    database: Database, conf: Settings
) -> None:
    send_id = start(database, conf, 2)
    one, two = add_subscribers(database)
    with database.transaction() as tx:
        tx.run("ALTER TABLE delivery_events ADD CHECK (kind <> 'reject')")
    bodies = [event(send_id, one, "Reject"), event(send_id, two, "Delivery")]
    with pytest.raises(Exception, match="check"):
        email_events.process_messages(database, conf, bodies)
    taken = email_events.process_one_by_one(database, conf, bodies)
    assert (taken.recorded, taken.rejected) == (1, 1)
    assert (state(database, send_id, one), state(database, send_id, two)) == ("pending", "delivered")


def test_events_of_transactional_emails_move_them_and_suppress(database: Database, conf: Settings) -> None:
    factories.add_subscribers(database, 2)
    with database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unconfirmed'")
        ids = [transactional_emails.queue(tx, "confirmation", subscriber) for subscriber in (1, 2)]
        transactional_emails.claim_batch(tx, CLAIM, 10)
    emails = [
        AcceptedEmail(f"c-{n}", f"subscriber-{n}@example.org", {"mail": str(n), "kind": "confirmation"}, "Hi", 0) for n in ids
    ]
    bodies = [
        json.dumps(event_json(FakeEvent(kind, email, 1))) for kind, email in zip(("Delivery", "Permanent"), emails, strict=True)
    ]
    assert email_events.process_messages(database, conf, bodies + bodies).recorded == 2
    with database.transaction() as tx:
        transactional_emails.record_outcome(tx, ids[0], CLAIM, "accepted", "c-1", "")
        states = [row["state"] for row in tx.all("SELECT state FROM transactional_emails ORDER BY id")]
    assert states == ["delivered", "bounced"]
    assert suppressed(database) == {"subscriber-2@example.org": "hard bounce"}


ENDS = {
    "DeliveryDelay": ("uncertain", 0), "Send": ("accepted", 1), "AutomaticReply": ("accepted", 1), "Reject": ("failed", 2),
    "Permanent/Suppressed": ("skipped", 3), "Transient/General": ("bounced", 4), "Delivery": ("delivered", 5),
    "Transient/ContentRejected": ("bounced", 6), "Transient": ("bounced", 7), "Permanent": ("bounced", 8),
    "Complaint": ("complained", 9), "Complaint/not-spam": ("delivered", 10),
}  # fmt: skip


def test_of_two_events_the_graver_one_stands_in_whatever_order_they_come(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 1)
    [subscriber] = add_subscribers(database)
    for first, second in itertools.product(ENDS, ENDS):
        with database.transaction() as tx:
            tx.script("DELETE FROM delivery_events; DELETE FROM suppressions")
            tx.run("UPDATE deliveries SET state = 'uncertain', detail = '', event_kind = ''")
        for kind in (first, second):
            email_events.process_messages(database, conf, [event(send_id, subscriber, kind)])
        graver = first if ENDS[first][1] >= ENDS[second][1] else second
        found = row(database, send_id, subscriber)
        assert found["state"] == ENDS[graver][0], (first, second)
        assert (found["event_kind"] == "hard bounce") is (graver == "Permanent"), (first, second)
        seen = {first, second}
        is_complaint = "Complaint" in seen and "Complaint/not-spam" not in seen
        reason = "complaint" if is_complaint else "hard bounce" if "Permanent" in seen else ""
        assert list(suppressed(database).values()) == ([reason] if reason else []), (first, second)


@pytest.mark.parametrize(
    ("kind", "ledger", "reason"),
    [("Send", "accepted", None), ("Delivery", "delivered", None), ("Transient", "bounced", None), ("Reject", "failed", None),
     ("Permanent", "bounced", "hard bounce"), ("Complaint", "complained", "complaint")],
)  # fmt: skip
def test_an_event_of_a_single_email_does_what_one_of_an_issue_does(
    database: Database, conf: Settings, kind: str, ledger: str, reason: str | None
) -> None:
    factories.add_subscribers(database, 1)
    with database.transaction() as tx:
        email_id = transactional_emails.queue(tx, "paid", 1)
        transactional_emails.claim_batch(tx, CLAIM, 10)
        transactional_emails.record_outcome(tx, email_id, CLAIM, "accepted", "of-the-answer", "")
    email = AcceptedEmail(
        "of-the-event", "subscriber-1@example.org", {"mail": str(email_id), "kind": "paid"}, "Hi", NOW.timestamp()
    )
    taken = [
        email_events.process_messages(database, conf, [json.dumps(event_json(FakeEvent(kind, email, NOW.timestamp())))])
        for _ in range(2)
    ]
    assert [one.recorded for one in taken] == [1, 0]
    with database.transaction() as tx:
        found = tx.one("SELECT state, message_id FROM transactional_emails")
    assert found == {"state": ledger, "message_id": "of-the-answer"}
    assert list(suppressed(database).values()) == ([reason] if reason else [])


def test_a_row_that_a_worker_holds_is_waited_for_without_holding_up_the_others(database: Database, conf: Settings) -> None:
    send_id = start(database, conf, 2)
    claim(database, send_id)
    held, free = add_subscribers(database)
    done: list[email_events.EventCounts] = []
    bodies = [event(send_id, held, "Delivery"), event(send_id, free, "Delivery")]
    worker = threading.Thread(target=lambda: done.append(email_events.process_messages(database, conf, bodies)))
    with database.transaction() as tx:
        deliveries.settle(tx, send_id, CLAIM, [Settlement(held, "accepted", "m")])
        worker.start()
        eventually(lambda: state(database, send_id, free) == "delivered", 10, "the free row moves")
        assert not done
    worker.join(10)
    assert done[0].recorded == 2
    assert state(database, send_id, held) == "delivered"


def test_a_row_that_stays_locked_makes_the_messages_come_again(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_events, "_MAX_BUSY_SECONDS", 0.1)
    send_id = start(database, conf, 1)
    claim(database, send_id)
    [subscriber] = add_subscribers(database)
    with database.transaction() as tx:
        deliveries.settle(tx, send_id, CLAIM, [Settlement(subscriber, "accepted", "m")])
        with pytest.raises(Unavailable, match="locked"):
            email_events.process_messages(database, conf, [event(send_id, subscriber, "Delivery")])


Step = tuple[str, str]
EVENTS = ("Send", "DeliveryDelay", "Transient/General", "Delivery", "Transient", "Permanent", "Complaint", "Complaint/not-spam")
RANK = [kind for kind in EVENTS if kind != "DeliveryDelay"]


@st.composite
def histories(draw: st.DrawFn) -> tuple[set[str], list[Step], list[Step]]:
    """What SES says of one email, and two orders in which it and the answer arrive, with doubles and a lost lease."""
    said = draw(st.sets(st.sampled_from(EVENTS), min_size=1)) | {"Send"}
    assume(not said >= {"Permanent", "Complaint/not-spam"})  # nobody reads, and reports on, an email that was refused
    steps: list[Step] = [("event", kind) for kind in sorted(said)]
    steps += [("answer", draw(st.sampled_from(["accepted", "uncertain"])))]
    steps += draw(st.lists(st.sampled_from([*steps, ("expire", "")]), max_size=6))
    return said, draw(st.permutations(steps)), draw(st.permutations(steps))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_any_order_of_answer_and_events_with_doubles_ends_in_the_same_state(
    history: tuple[set[str], list[Step], list[Step]], database: Database, conf: Settings
) -> None:
    said, *orders = history
    ends = [play(database, conf, steps) for steps in orders]
    best = max((kind for kind in said if kind in RANK), key=RANK.index)
    assert ends[0] == ends[1]
    assert ends[0][0] == ENDS[best][0]
    assert ends[0][1].startswith("hard") == (best == "Permanent")


def play(database: Database, conf: Settings, steps: Sequence[Step]) -> tuple[str, str, str, set[str]]:
    send_id = send_of(database, conf)
    [subscriber] = add_subscribers(database)
    for what, value in steps:
        if what == "event":
            email_events.process_messages(database, conf, [event(send_id, subscriber, value)])
        elif what == "answer":
            answer(database, send_id, subscriber, value)
        else:
            with database.transaction() as tx:
                deliveries.expire_claims(tx, timedelta(0))
    end = row(database, send_id, subscriber)
    return str(end["state"]), str(end["detail"]), str(end["message_id"]), set(suppressed(database).values())


def send_of(database: Database, conf: Settings) -> int:
    """One send to one subscriber, put back to where it was claimed."""
    with database.transaction() as tx:
        found = tx.value("SELECT max(id) FROM sends")
    send_id = found or start(database, conf, 1)
    with database.transaction() as tx:
        tx.script("DELETE FROM delivery_events; DELETE FROM suppressions")
        tx.run("UPDATE deliveries SET state = 'pending', message_id = NULL, detail = '', event_kind = '', settled_at = NULL")
    claim(database, send_id)
    return int(send_id)
