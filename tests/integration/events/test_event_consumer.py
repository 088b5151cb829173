from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.fakes.fake_ses_process import FakeSes
from mailer.fakes.sns_signer import CERTIFICATE, SnsSigner
from mailer.flows.events import email_events
from mailer.flows.events import event_consumer as intake
from mailer.flows.events.email_events import EventCounts
from mailer.flows.events.event_consumer import MAX_RATE_WHILE_SENDING, EventConsumer
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import uncertain_deliveries
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from mailer.transports.base import Envelope
from mailer.transports.outbox import Outbox
from mailer.transports.ses_fast import FastSes
from mailer.transports.ses_queue import FastSqs, Sqs, make_queue
from mailer.transports.sqs import QueueMessage
from mailer.webhooks.sns import SnsVerifier
from mailer.webhooks.sns_fetch import fetch
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.processes import eventually, kill, running, start
from tests.web import Web, served

TOPIC = "arn:aws:sns:eu-central-1:123456789012:events"


@pytest.fixture(scope="module")
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        yield fake


@pytest.fixture
def conf(tmp_path: Path, ses: FakeSes, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    ses.reset()
    for name, value in ses.environ.items():
        monkeypatch.setenv(name, value)
    return settings(tmp_path, database_url, transport="ses", connections=16, sqs_queue_url=ses.queue_url, sns_topic=TOPIC)


def send(database: Database, conf: Settings, number: int) -> SendStatus:
    """A whole send, with the transport's patience of half a second."""
    add_subscribers(database, number)
    adopt_issues(database, conf, [old()])
    transport = FastSes("", conf.connections, connect_timeout=2, read_timeout=0.5)
    [send_id] = publish(database, conf, [old(), edition()], [], transport, Request()).send_ids
    return work(database, conf, send_id)


def work(database: Database, conf: Settings, send_id: int) -> SendStatus:
    transport = FastSes("", conf.connections, connect_timeout=2, read_timeout=0.5)
    for _ in range(30):
        advance_sends(database, conf)
        if (one := list_send_statuses(database, str(send_id))[0]).send.state == "finished":
            return one
        deliver_send(database, conf, transport, send_id)
        with database.transaction() as tx:
            tx.run("UPDATE sends SET deferred_until = NULL")
    raise AssertionError("the send does not finish")


def drain(database: Database, conf: Settings, ses: FakeSes, seconds: float = 30) -> EventCounts:
    """Take events in until none is left."""
    stopping = threading.Event()
    consumer = EventConsumer(database, conf, make_queue(conf), stopping, poll=1)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        eventually(lambda: (s := ses.stats())["waiting"] == s["hidden"] == 0, seconds, "the queue is empty")
    finally:
        stopping.set()
        thread.join(30)
    return consumer.total


@pytest.mark.parametrize("made", [Sqs, FastSqs])
def test_both_clients_of_the_queue_receive_wait_and_delete(made: type[Sqs], conf: Settings, ses: FakeSes) -> None:
    queue = made(ses.queue_url)
    started = time.monotonic()
    assert queue.receive(1) == []
    assert time.monotonic() - started > 0.9
    ses.control(events={"visibility_s": 0.3})
    FastSes().send(_envelope())
    first = queue.receive(1)
    assert [json.loads(message.body)["eventType"] for message in first] == ["Send", "Delivery"]
    assert queue.receive(0) == []
    time.sleep(0.35)
    again = queue.receive(1)
    assert [message.body for message in again] == [message.body for message in first]
    queue.delete([message.receipt for message in again])
    time.sleep(0.35)
    assert queue.receive(0) == []


def _envelope() -> Envelope:
    return Envelope("ada@example.org", b"Subject: Hi\r\n\r\nHello", {"send": "1", "subscriber": "1"})


@pytest.mark.parametrize("made", [Sqs, FastSqs])
def test_a_queue_that_is_away_or_set_up_wrongly_is_one_sentence(
    made: type[Sqs], conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="SQS cannot be reached"):
        made("http://127.0.0.1:1/0/q").receive(0)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(Refused, match="credentials"):
        made("http://127.0.0.1:1/0/q").receive(0)
    with pytest.raises(BadInput, match="POSTMERGE_SQS_QUEUE_URL"):
        make_queue(replace(conf, sqs_queue_url=""))


@pytest.mark.slow
def test_a_whole_send_with_lost_answers_is_settled_by_the_events(database: Database, conf: Settings, ses: FakeSes) -> None:
    lost = [{"kind": kind, "share": 0.02} for kind in ("reset_after", "error_after", "reset_before")]
    ses.control(faults=lost, events={"late_s": 60})
    one = send(database, conf, 2_000)
    accepted = {email["to"] for email in ses.accepted()}
    uncertain = one.deliveries["uncertain"]
    assert uncertain > 60
    assert len(accepted) < 2_000
    assert ses.stats()["waiting"] == 2 * len(accepted)
    ses.release()
    more = {"POSTMERGE_SQS_QUEUE_URL": ses.queue_url, **ses.environ}
    with running("events", conf, more):
        eventually(lambda: (s := ses.stats())["waiting"] == s["hidden"] == 0, 60, "all events are taken in")
    [after] = list_send_statuses(database)
    assert after.deliveries["delivered"] == len(accepted)
    assert after.deliveries["uncertain"] == 2_000 - len(accepted)
    assert {found.email for found in uncertain_deliveries.list_uncertain(database)}.isdisjoint(accepted)
    assert sums_add_up(database)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_backlog_loses_no_event(database: Database, conf: Settings, ses: FakeSes) -> None:
    one = send(database, conf, 3_000)
    ses.control(events={"visibility_s": 2})
    with database.transaction() as tx:
        first = tx.value("SELECT min(subscriber_id) FROM deliveries")
    assert first == 1
    ses.fill(one.send.id, 3_000)
    more = {"POSTMERGE_SQS_QUEUE_URL": ses.queue_url, **ses.environ}
    child = start("events", conf, more)
    eventually(lambda: list_send_statuses(database)[0].deliveries["delivered"] > 0, 30, "the first events are recorded")
    kill(child)
    assert list_send_statuses(database)[0].deliveries["delivered"] < 3_000
    with running("events", conf, more):
        eventually(lambda: list_send_statuses(database)[0].deliveries["delivered"] == 3_000, 30, "all events are recorded")
    assert sums_add_up(database)


@pytest.mark.slow
def test_events_that_overtake_their_answers_all_through_a_send(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(latency_s=0.05, events={"double": 0.5, "shuffle_s": 0.1, "soft": 0.02, "visibility_s": 2})
    stopping = threading.Event()
    consumer = EventConsumer(database, conf, make_queue(conf), stopping, poll=1)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        one = send(database, conf, 600)
        eventually(lambda: (s := ses.stats())["waiting"] == s["hidden"] == 0, 30, "the queue is empty")
    finally:
        stopping.set()
        thread.join(30)
    [after] = list_send_statuses(database)
    assert one.deliveries["uncertain"] == consumer.total.unknown == 0
    assert after.deliveries["delivered"] + after.deliveries["bounced"] == 600
    assert len(ses.accepted()) == 600


@pytest.mark.parametrize("wrapped", [False, True])
def test_bounces_complaints_and_delays_late_doubled_and_shuffled_end_as_ses_meant_them(
    wrapped: bool, database: Database, conf: Settings, ses: FakeSes
) -> None:
    habits = {"hard": 0.02, "soft": 0.03, "complaint": 0.02, "delay": 0.1, "double": 0.3, "shuffle_s": 0.5}
    ses.control(events={**habits, "wrapped": wrapped, "topic": TOPIC}, faults=[{"kind": "reset_after", "share": 0.02}])
    one = send(database, conf, 400)
    total = drain(database, conf, ses)
    [after] = list_send_statuses(database)
    assert total.unknown == total.rejected == 0
    assert total.duplicates > 50
    assert after.deliveries["uncertain"] == after.deliveries["accepted"] == 0
    assert after.deliveries["bounced"] > 5
    assert after.deliveries["complained"] > 0
    assert sum(after.deliveries.values()) == one.send.audience_size == 400
    with database.transaction() as tx:
        bad = tx.value("SELECT count(*) FROM deliveries WHERE state = 'complained' OR event_kind = 'hard bounce'")
        assert tx.value("SELECT count(*) FROM suppressions") == bad


def test_events_of_another_topic_in_the_queue_are_kept_apart(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(events={"wrapped": True, "topic": TOPIC + "-of-another"})
    send(database, conf, 3)
    total = drain(database, conf, ses)
    assert (total.recorded, total.rejected) == (0, 6)
    assert list_send_statuses(database)[0].deliveries["accepted"] == 3


class Holding:
    """A queue of a few emails that notes what was deleted."""

    def __init__(self, messages: Sequence[QueueMessage]) -> None:
        self.messages = list(messages)
        self.deleted: list[str] = []
        self.asked = 0

    def receive(self, seconds: int) -> list[QueueMessage]:
        self.asked += 1
        taken, self.messages = self.messages, []
        if not taken:
            time.sleep(0.05)
        return taken

    def delete(self, receipts: Sequence[str]) -> None:
        self.deleted += receipts


def test_messages_are_deleted_only_after_the_commit(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, stopping = Holding([QueueMessage("{broken", "r1")]), threading.Event()
    away = threading.Event()

    def fail(*_: object) -> EventCounts:
        away.set()
        raise Unavailable("Postgres cannot be reached.")

    real = email_events.process_messages
    monkeypatch.setattr(intake, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(email_events, "process_messages", fail)
    thread = threading.Thread(target=EventConsumer(database, conf, queue, stopping).run)
    thread.start()
    assert away.wait(5)
    assert queue.deleted == []
    monkeypatch.setattr(email_events, "process_messages", real)
    eventually(lambda: queue.deleted == ["r1"], 5, "the message is deleted")
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_refusing_queue_ends_the_process_with_its_sentence(database: Database, conf: Settings) -> None:
    class Closed(Holding):
        def receive(self, seconds: int) -> list[QueueMessage]:
            raise Refused("There is no queue.")

    with pytest.raises(Refused, match="There is no queue"):
        EventConsumer(database, conf, Closed([]), threading.Event()).run()


@pytest.fixture
def web(database: Database, conf: Settings, ses: FakeSes) -> Web:
    made = Web(replace(conf, outbox=conf.outbox), database)
    made.client.app.state.sns = SnsVerifier(TOPIC, fetch, ses.url.replace(".", r"\."))  # type: ignore[attr-defined]
    return made


def test_sns_over_https_confirms_records_once_and_refuses_the_rest(
    web: Web, database: Database, conf: Settings, ses: FakeSes
) -> None:
    net = SnsSigner(ses.url)
    web.client.app.state.sns = SnsVerifier(TOPIC, lambda url: net.certificate, ses.url.replace(".", r"\."))  # type: ignore[attr-defined]
    ses.control(events={"send": False})
    send(database, conf, 1)
    [queued] = FastSqs(ses.queue_url).receive(1)
    message = net.message(TOPIC, queued.body)

    def post(raw: bytes) -> tuple[int, str]:
        answer = web.client.post("/webhooks/ses", content=raw, headers={"Content-Type": "text/plain"})
        return answer.status_code, answer.json()["detail"]

    assert post(net.message(TOPIC, "x", "SubscriptionConfirmation")) == (200, "The subscription is confirmed.")
    assert post(message) == (200, "The event is recorded.")
    assert post(message) == (200, "The message was processed before.")
    assert post(net.message(TOPIC, queued.body)) == (200, "The event is recorded.")
    assert list_send_statuses(database)[0].deliveries["delivered"] == 1
    assert post(message.replace(b"Delivery", b"Delivary"))[0] == 403
    assert post(net.message(TOPIC + "2", queued.body))[0] == 403
    assert post(b"{broken")[0] == 400
    assert post(net.message(TOPIC, "{broken"))[0] == 200
    assert post(net.message(TOPIC, "bye", "UnsubscribeConfirmation"))[0] == 200
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM delivery_events") == 1
        assert [row["body"] for row in tx.all("SELECT body FROM rejected_events")] == ["{broken"]


def test_a_certificate_that_cannot_be_fetched_makes_sns_post_again(web: Web) -> None:
    def away(url: str) -> bytes:
        raise Unavailable("away")

    web.client.app.state.sns = SnsVerifier(TOPIC, away, "http://here")  # type: ignore[attr-defined]
    answer = web.client.post("/webhooks/ses", content=SnsSigner("http://here").message(TOPIC, "x"))
    assert answer.status_code == 503


def test_the_fake_sns_posts_to_a_real_server(database: Database, conf: Settings, ses: FakeSes) -> None:
    made = Web(conf, database)
    app = made.client.app
    app.state.sns = SnsVerifier(TOPIC, fetch, ses.url.replace(".", r"\."))  # type: ignore[attr-defined]
    with served(app) as url:
        ses.control(sns={"url": f"{url}/webhooks/ses", "topic": TOPIC}, events={"double": 0.5, "shuffle_s": 0.3})
        assert ses.sns("SubscriptionConfirmation") == {"status": 200}
        send(database, conf, 30)
        eventually(lambda: list_send_statuses(database)[0].deliveries["delivered"] == 30, 20, "all are delivered")


def send_with_uncertain(database: Database, conf: Settings, ses: FakeSes) -> int:
    """A finished send of 6 of which 3 are uncertain, none of them taken."""
    ses.control(faults=[{"kind": "reset_before", "next": 3}])
    one = send(database, conf, 6)
    assert one.deliveries["uncertain"] == 3
    return one.send.id


def run(conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    monkeypatch.setenv("DATABASE_URL", conf.database_url)
    try:
        done = CliRunner().invoke(cli.cli, list(words), catch_exceptions=True)
    finally:
        monkeypatch.delenv("DATABASE_URL")
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def test_uncertain_lists_what_is_known_and_the_addresses(
    database: Database, conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No uncertain deliveries" in run(conf, ses, monkeypatch, "uncertain")[1]
    send_id = send_with_uncertain(database, conf, ses)
    code, text = run(conf, ses, monkeypatch, "uncertain", str(send_id), "--json")
    found = json.loads(text)
    assert code == 0
    assert len(found) == 3
    assert {one["events"] == [] for one in found} == {True}
    assert {one["attempts"] for one in found} == {1}
    assert all(one["email"].endswith("@example.org") for one in found)


def test_the_operators_word_that_they_were_sent_settles_them(
    database: Database, conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = send_with_uncertain(database, conf, ses)
    first = uncertain_deliveries.list_uncertain(database)[0].subscriber_id
    assert run(conf, ses, monkeypatch, "uncertain", str(send_id), "--subscriber", str(first), "--sent")[0] == 0
    assert len(uncertain_deliveries.list_uncertain(database)) == 2
    assert run(conf, ses, monkeypatch, "uncertain", str(send_id), "--sent")[0] == 0
    assert list_send_statuses(database)[0].deliveries["accepted"] == 6
    with pytest.raises(BadInput, match="has no uncertain deliveries"):
        uncertain_deliveries.resolve_uncertain(database, str(send_id), None, sent=True)


def test_the_operators_word_that_they_were_not_sent_sends_them_and_needs_yes(
    database: Database, conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = send_with_uncertain(database, conf, ses)
    code, text = run(conf, ses, monkeypatch, "uncertain", str(send_id), "--not-sent")
    assert code == 1
    assert "3 subscribers" in text
    assert len(ses.accepted()) == 3
    assert run(conf, ses, monkeypatch, "uncertain", str(send_id), "--not-sent", "--yes")[0] == 0
    assert work(database, conf, send_id).deliveries["accepted"] == 6
    got = [email["to"] for email in ses.accepted()]
    assert len(got) == len(set(got)) == 6


def test_what_ses_told_something_about_is_never_put_back(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(faults=[{"kind": "reset_after", "next": 1}], events={"delay": 1.0, "send": False})
    one = send(database, conf, 1)
    assert one.deliveries["uncertain"] == 1
    [delay, _] = FastSqs(ses.queue_url).receive(1)
    email_events.process_messages(database, conf, [delay.body])
    decided = uncertain_deliveries.resolve_uncertain(database, str(one.send.id), None, sent=False)
    assert (decided.moved, decided.kept) == (0, 1)
    assert list_send_statuses(database)[0].send.state == "finished"


def test_the_certificate_is_served_at_snss_path(ses: FakeSes) -> None:
    assert fetch(ses.url + CERTIFICATE).startswith(b"-----BEGIN CERTIFICATE-----")
    with pytest.raises(Unavailable):
        fetch(ses.url + "/elsewhere")


@pytest.mark.slow
def test_a_backlog_yields_to_a_send_with_emails_left_to_send(database: Database, conf: Settings) -> None:
    class Endless:
        """A queue that always has ten messages; none of them is an event."""

        def receive(self, seconds: int) -> list[QueueMessage]:
            return [QueueMessage('{"eventType": "Open"}', "receipt")] * 10

        def delete(self, receipts: Sequence[str]) -> None: ...

    def taken(seconds: float) -> float:
        stopping = threading.Event()
        intake = EventConsumer(database, conf, Endless(), stopping)
        threading.Timer(seconds, stopping.set).start()
        started = time.monotonic()
        return intake.run().ignored / (time.monotonic() - started)

    free = taken(1)
    add_subscribers(database, 5)
    adopt_issues(database, conf, [old()])
    publish(database, conf, [old(), edition()], [], Outbox(conf.outbox), Request())
    advance_sends(database, conf)
    assert list_send_statuses(database)[0].send.state == "sending"
    beside = taken(2)
    assert free > 2 * MAX_RATE_WHILE_SENDING
    assert 0.3 * MAX_RATE_WHILE_SENDING < beside < 2 * MAX_RATE_WHILE_SENDING
