from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database, Tx
from mailer.core.errors import Unavailable
from mailer.core.rate_limiter import NoRateLimit
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import delivery_worker
from mailer.flows.sending.delivery_worker import DeliveryResult, deliver_send
from mailer.flows.sending.send_rate import SendRate
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from mailer.store.sending.sends import SendState
from mailer.transports.base import Answer, Envelope, Outcome
from mailer.transports.outbox import Outbox
from mailer.transports.ses_fast import FastSes
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.fakes.ses import FakeSes


@pytest.fixture(scope="module")
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        yield fake


@pytest.fixture
def conf(tmp_path: Path, ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> Settings:
    ses.reset()
    for name, value in ses.environ.items():
        monkeypatch.setenv(name, value)
    return settings(tmp_path, transport="ses", connections=16)


def transport(conf: Settings) -> FastSes:
    return FastSes(configuration_set="", connections=conf.connections, connect_timeout=2, read_timeout=1)


def start(database: Database, conf: Settings, number: int, transport: FastSes | Outbox) -> int:
    add_subscribers(database, number)
    adopt_issues(database, conf, [old()])
    [send_id] = publish(database, conf, [old(), edition()], [], transport, Request()).send_ids
    advance_sends(database, conf)
    return send_id


def drain(database: Database, conf: Settings, send_id: int, transport: FastSes | Outbox, rounds: int = 50) -> SendStatus:
    for _ in range(rounds):
        deliver_send(database, conf, transport, send_id)
        advance_sends(database, conf)
        with database.transaction() as tx:
            tx.run("UPDATE sends SET deferred_until = NULL")
        [one] = list_send_statuses(database)
        if one.send.state != "sending":
            break
    return list_send_statuses(database)[0]


def attempts(database: Database) -> int:
    """How often an email of any send was tried."""
    with database.transaction() as tx:
        return int(tx.value("SELECT sum(attempts) FROM deliveries"))


def test_a_send_reaches_each_subscriber_once(database: Database, conf: Settings, ses: FakeSes) -> None:
    send_id = start(database, conf, 100, transport(conf))
    one = drain(database, conf, send_id, transport(conf))
    got = [email["to"] for email in ses.accepted()]
    assert one.send.state == "finished"
    assert one.deliveries["accepted"] == 100
    assert sorted(got) == sorted(f"subscriber-{n}@example.org" for n in range(1, 101))
    assert sums_add_up(database)


def test_each_email_carries_its_own_unsubscribe_link_and_the_digest(database: Database, conf: Settings, ses: FakeSes) -> None:
    send_id = start(database, conf, 20, transport(conf))
    drain(database, conf, send_id, transport(conf))
    emails = ses.accepted()
    assert len({email["unsubscribe_url"] for email in emails}) == 20
    assert {email["digest"] for email in emails} == {edition().digest}
    assert {email["tags"]["send"] for email in emails} == {str(send_id)}


def test_an_answer_lost_after_acceptance_is_uncertain_and_not_sent_again(
    database: Database, conf: Settings, ses: FakeSes
) -> None:
    send_id = start(database, conf, 60, transport(conf))
    ses.control(
        faults=[{"kind": "reset_after", "next": 3}, {"kind": "error_after", "next": 2}, {"kind": "hang_after", "next": 2}]
    )
    one = drain(database, conf, send_id, transport(conf))
    assert one.send.state == "finished"
    assert one.deliveries["uncertain"] == 7
    assert one.deliveries["accepted"] == 53
    got = [email["to"] for email in ses.accepted()]
    assert len(got) == len(set(got)) == 60
    assert sums_add_up(database)


def test_throttled_emails_go_back_and_count_no_attempt(database: Database, conf: Settings, ses: FakeSes) -> None:
    send_id = start(database, conf, 40, transport(conf))
    ses.control(faults=[{"kind": "throttle", "next": 25}])
    one = drain(database, conf, send_id, transport(conf))
    assert one.deliveries["accepted"] == 40
    assert len(ses.accepted()) == 40
    with database.transaction() as tx:
        assert tx.value("SELECT max(attempts) FROM deliveries") == 1


def test_a_wrong_credential_stops_the_send_and_its_emails_stay_pending(
    database: Database, conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = start(database, conf, 40, transport(conf))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG0")
    one = drain(database, conf, send_id, transport(conf), rounds=2)
    assert one.send.state == "stopped"
    assert "credential" in one.send.reason
    assert one.deliveries["pending"] == 40
    assert ses.accepted() == []


def test_while_ses_is_unreachable_everything_stays_pending_and_is_sent_later(
    database: Database, conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = start(database, conf, 30, transport(conf))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:1")
    for _ in range(3):  # it backs off after the first attempts, whoever wakes it
        deliver_send(database, conf, transport(conf), send_id, seconds=0.5)
        assert list_send_statuses(database)[0].deliveries["pending"] == 30
        assert 0 < attempts(database) <= conf.connections
    assert "could not be reached" in list_send_statuses(database)[0].send.waiting_reason
    assert advance_sends(database, conf).sends == ()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", ses.url)
    one = drain(database, conf, send_id, transport(conf))
    assert one.deliveries["accepted"] == 30


def test_who_left_or_was_suppressed_after_the_freeze_is_skipped(database: Database, conf: Settings, ses: FakeSes) -> None:
    send_id = start(database, conf, 10, transport(conf))
    with database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unsubscribed' WHERE email = 'subscriber-3@example.org'")
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES ('subscriber-4@example.org', 'complaint')")
    one = drain(database, conf, send_id, transport(conf))
    assert (one.deliveries["accepted"], one.deliveries["skipped"]) == (8, 2)
    assert not {"subscriber-3@example.org", "subscriber-4@example.org"} & {email["to"] for email in ses.accepted()}
    assert sums_add_up(database)


def test_a_claim_whose_worker_died_becomes_uncertain_after_its_lease(database: Database, conf: Settings, ses: FakeSes) -> None:
    send_id = start(database, conf, 10, transport(conf))
    with database.transaction() as tx:
        tx.run(
            "UPDATE deliveries SET state = 'claimed', claimed_at = now() - interval '59 seconds' WHERE subscriber_id % 5 = 0"
        )
    advance_sends(database, conf)
    assert list_send_statuses(database)[0].deliveries["claimed"] == 2
    one = drain(database, replace(conf, claim_lease=timedelta(seconds=58)), send_id, transport(conf))
    assert (one.deliveries["accepted"], one.deliveries["uncertain"]) == (8, 2)
    assert len(ses.accepted()) == 8


def test_the_outbox_holds_one_file_for_each_subscriber(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    outbox = Outbox(conf.outbox)
    one = drain(database, conf, start(database, conf, 12, outbox), outbox)
    assert one.deliveries["accepted"] == 12
    assert len(list(conf.outbox.glob("*.eml"))) == 12


def test_every_email_of_a_send_says_where_replies_go(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path, transport="outbox", reply_to="Anna @ Work <replies@example.org>")
    send_id = start(database, conf, 2, Outbox(conf.outbox))
    drain(database, conf, send_id, Outbox(conf.outbox))
    emails = [path.read_bytes() for path in conf.outbox.rglob("*.eml")]
    assert len(emails) == 2
    assert all(b'\r\nReply-To: "Anna @ Work" <replies@example.org>\r\n' in one for one in emails)


@pytest.mark.slow
def test_addresses_are_not_in_the_ledgers_details(database: Database, conf: Settings, ses: FakeSes) -> None:
    send_id = start(database, conf, 10, transport(conf))
    ses.control(faults=[{"kind": "error_before", "next": 4}])
    drain(database, conf, send_id, transport(conf))
    with database.transaction() as tx:
        details = json.dumps(tx.all("SELECT detail FROM deliveries"))
    assert "@" not in details


class Answering:
    """A transport that always gives the same answer, or breaks after it may have sent; it counts what it was asked to send."""

    name = "answering"

    def __init__(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.asked: Counter[str] = Counter()

    def send(self, envelope: Envelope) -> Answer:
        self.asked[envelope.to] += 1
        if self.outcome is None:
            raise ConnectionResetError(envelope.to)
        return Answer(self.outcome, message_id="m" if self.outcome is Outcome.ACCEPTED else "", detail="said so")

    def account(self) -> None:
        return None


class AnsweringOnTheLoop(Answering):
    """The same for transports that work on the asyncio loop."""

    async def send_async(self, envelope: Envelope) -> Answer:
        return self.send(envelope)


@pytest.mark.parametrize("kind", [Answering, AnsweringOnTheLoop])
@pytest.mark.parametrize(
    ("outcome", "ledger", "sent_to_all"),
    [
        (Outcome.ACCEPTED, "accepted", True),
        (Outcome.UNCERTAIN, "uncertain", True),
        (Outcome.REFUSED, "failed", True),
        (None, "uncertain", True),
        (Outcome.RETRY, "pending", False),
        (Outcome.HALT, "pending", False),
    ],
    ids=lambda value: str(value),
)
def test_each_answer_is_asked_for_once_and_has_its_place_in_the_ledger(
    database: Database, tmp_path: Path, kind: type[Answering], outcome: Outcome | None, ledger: str, sent_to_all: bool
) -> None:
    conf = settings(tmp_path, connections=4)
    other_side = kind(outcome)
    send_id = start(database, conf, 20, Outbox(conf.outbox))
    for _ in range(3):
        deliver_send(database, conf, other_side, send_id, seconds=0.5)
        advance_sends(database, conf)
    one = list_send_statuses(database)[0]
    assert one.deliveries[ledger] == 20
    assert max(other_side.asked.values()) == 1
    assert len(other_side.asked) == 20 if sent_to_all else len(other_side.asked) <= conf.connections
    assert one.send.state == ("finished" if sent_to_all else "stopped" if outcome is Outcome.HALT else "sending")
    tried = {Outcome.HALT: 0, Outcome.RETRY: other_side.asked.total()}
    assert attempts(database) == tried.get(outcome, 20) if outcome else 20
    with database.transaction() as tx:
        assert "@" not in str(tx.all("SELECT detail FROM deliveries"))
        assert tx.value("SELECT count(*) FROM notices") == (outcome is Outcome.HALT)


def test_a_send_that_rests_is_left_alone_until_its_rest_is_over(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    other_side = Answering(Outcome.ACCEPTED)
    send_id = start(database, conf, 3, Outbox(conf.outbox))
    with database.transaction() as tx:
        tx.run("UPDATE sends SET deferred_until = now() + interval '1 minute'")
    assert deliver_send(database, conf, other_side, send_id) == DeliveryResult(0, more=False)
    assert other_side.asked == {}
    with database.transaction() as tx:
        tx.run("UPDATE sends SET deferred_until = now() - interval '1 second'")
    assert deliver_send(database, conf, other_side, send_id).sent == 3


@pytest.mark.parametrize("state", [state for state in SendState if state is not SendState.SENDING])
def test_a_send_that_does_not_run_is_left_alone(database: Database, tmp_path: Path, state: SendState) -> None:
    conf = settings(tmp_path)
    other_side = Answering(Outcome.ACCEPTED)
    send_id = start(database, conf, 3, Outbox(conf.outbox))
    with database.transaction() as tx:
        tx.run("UPDATE sends SET state = %(state)s", state=state)
    assert deliver_send(database, conf, other_side, send_id) == DeliveryResult(0, more=False)
    assert other_side.asked == {}
    assert list_send_statuses(database)[0].deliveries["pending"] == 3


def test_a_worker_whose_time_is_up_says_that_there_is_more(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path, connections=2)
    send_id = start(database, conf, 20, Outbox(conf.outbox))
    first = deliver_send(database, conf, Answering(Outcome.ACCEPTED), send_id, stopping=lambda: True)
    assert (first.sent, first.more) == (0, True)
    rest = deliver_send(database, conf, Answering(Outcome.ACCEPTED), send_id)
    assert (rest.sent, rest.more) == (20, False)


def test_a_throttled_email_slows_the_worker_down(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path, connections=2)
    other_side = Answering(Outcome.THROTTLED)
    slowed: list[bool] = []

    class Counting(SendRate):
        def reduce(self) -> None:
            slowed.append(True)
            other_side.outcome = Outcome.ACCEPTED

    send_id = start(database, conf, 6, Outbox(conf.outbox))
    deliver_send(database, conf, other_side, send_id, rate=Counting(other_side, NoRateLimit()))
    assert 1 <= len(slowed) <= conf.connections
    assert list_send_statuses(database)[0].deliveries["accepted"] == 6


class Away(Database):
    """A database that is away for some of its transactions, counted from the first."""

    def __init__(self, url: str, away: set[int]) -> None:
        super().__init__(url)
        self.away, self.begun = away, 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tx]:
        self.begun += 1
        if self.begun in self.away:
            raise Unavailable("Postgres cannot be reached.")
        with super().transaction() as tx:
            yield tx


def test_outcomes_are_kept_until_postgres_is_back_and_no_email_is_sent_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_worker, "_SETTLE_RETRY_SECONDS", 0.01)
    conf = settings(tmp_path, connections=4)
    send_id = start(database, conf, 8, Outbox(conf.outbox))
    other_side = Answering(Outcome.ACCEPTED)
    deliver_send(Away(database.url, {3, 4, 5}), conf, other_side, send_id)
    assert list_send_statuses(database)[0].deliveries["claimed"] == 0
    deliver_send(database, conf, other_side, send_id)
    assert list_send_statuses(database)[0].deliveries["accepted"] == 8
    assert set(other_side.asked.values()) == {1}


@pytest.mark.timeout(20)
def test_a_worker_with_nothing_on_the_wire_gives_up_when_postgres_is_away(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    send_id = start(database, conf, 3, Outbox(conf.outbox))
    with pytest.raises(Unavailable):
        deliver_send(Away(database.url, set(range(2, 100))), conf, Answering(Outcome.ACCEPTED), send_id)
    assert list_send_statuses(database)[0].deliveries["pending"] == 3
