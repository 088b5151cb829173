"""Warm-up: each day allows so many emails, whoever sends them; the volume grows after good days and never after bad ones."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer import cli
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.operations.standstills import check_standstills
from mailer.flows.publishing.publish import Request, preview_publish, publish
from mailer.flows.scheduled.send_scheduler import advance_sends, check_circuit_breakers
from mailer.flows.sending import warmup
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.store.sending import deliveries, warmups
from mailer.transports.base import Answer, Envelope, Outcome
from mailer.transports.outbox import Outbox
from tests.factories import edition, old, settings
from tests.integration.operations.test_standstills import ALL, list_told, see
from tests.integration.publishing.test_publish import Limits
from tests.integration.sending.test_send_control import begin, only, run


@pytest.fixture
def conf(tmp_path: Path, database_url: str) -> Settings:
    return settings(tmp_path, database_url, first_slice=100.0, connections=4)


def pass_day(database: Database) -> None:
    """Let everything of the warm-up have happened a day earlier, and waiting sends continue."""
    run(database, "UPDATE warmup_days SET day = day - 10001, watched_since = watched_since - interval '1 day',"
        " paused_until = paused_until - interval '1 day'")  # fmt: skip
    run(database, "UPDATE warmup_days SET day = day + 10000")  # in two steps: day by day, one would meet another
    run(database, "UPDATE sends SET deferred_until = deferred_until - interval '1 day'")
    run(database, "UPDATE deliveries SET settled_at = settled_at - interval '1 day'")


def send_day(database: Database, conf: Settings, send_id: int) -> int:
    """Send what today allows; return how many emails left."""
    advance_sends(database, conf)
    done = deliver_send(database, conf, Outbox(conf.outbox), send_id)
    advance_sends(database, conf)
    return done.sent


def report(database: Database, send_id: int, kind: str, number: int, subtype: str = "") -> None:
    """Let SES report something about so many subscribers."""
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO delivery_events (send_id, subscriber_id, kind, at, subtype)
            SELECT %(send)s, subscriber_id, %(kind)s, now(), %(subtype)s FROM deliveries
            WHERE send_id = %(send)s AND state = 'accepted' ORDER BY subscriber_id LIMIT %(number)s
            """,
            send=send_id,
            kind=kind,
            subtype=subtype,
            number=number,
        )


def test_a_large_audience_is_sent_over_the_days_of_the_plan(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 100)
    state = warmup.start_warmup(database, 10, 4)
    assert state.volumes == (10, 22, 46, 100)
    assert state.count_days(100) == 4
    sent = []
    for _ in range(4):
        sent.append(send_day(database, conf, send_id))
        if only(database).send.state == "sending":
            waits = only(database).send.waiting_reason
            assert waits.startswith(f"the warm-up allows {sent[-1]} emails today, which are used; continues at ")
            assert deliver_send(database, conf, Outbox(conf.outbox), send_id).sent == 0
        pass_day(database)
    assert sent == [10, 22, 46, 22]
    assert (only(database).send.state, len(list(conf.outbox.glob("*.eml")))) == ("finished", 100)


def test_after_the_last_day_there_is_no_limit_and_a_notice_says_so(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 30)
    warmup.start_warmup(database, 5, 2)
    run(database, "UPDATE warmup SET target = 10")
    for allowed in (5, 10, 15):
        assert send_day(database, conf, send_id) == allowed
        pass_day(database)
    assert warmup.read_warmup(database) is None
    assert list_told(database)[0].startswith("The warm-up is over")


def test_a_day_that_was_hardly_used_does_not_count(database: Database, conf: Settings) -> None:
    begin(database, conf, 100)
    warmup.start_warmup(database, 10, 4)
    for used, place in ((0, 0), (4, 0), (5, 1), (22, 2)):
        with database.transaction() as tx:
            assert warmup.lock_allowance(tx)
            warmup.use_allowance(tx, used)
        pass_day(database)
        state = warmup.read_warmup(database)
        assert state
        assert state.day.place == place


def test_workers_side_by_side_use_no_more_than_the_day_allows(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 200)
    warmup.start_warmup(database, 50, 3)
    advance_sends(database, conf)
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(lambda _: deliver_send(database, conf, Outbox(conf.outbox), send_id).sent, range(4))
    assert sum(done) == 50 == len(list(conf.outbox.glob("*.eml")))


def test_the_claims_of_a_killed_worker_count_and_a_claim_that_was_not_committed_does_not(
    database: Database, conf: Settings
) -> None:
    send_id = begin(database, conf, 100)
    warmup.start_warmup(database, 10, 4)
    advance_sends(database, conf)

    def claim(kill: bool) -> None:
        with database.transaction() as tx:
            assert warmup.lock_allowance(tx) == 10
            deliveries.claim(tx, send_id, str(uuid.uuid4()), 4)
            warmup.use_allowance(tx, 4)
            if kill:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        claim(kill=True)
    claim(kill=False)
    assert send_day(database, conf, send_id) == 6
    assert only(database).deliveries["claimed"] == 4


def test_what_never_left_is_given_back(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 100)
    warmup.start_warmup(database, 10, 4)
    advance_sends(database, conf)

    class Unreachable(Outbox):
        def send(self, envelope: Envelope) -> Answer:
            return Answer(Outcome.RETRY, detail="no route")

    deliver_send(database, conf, Unreachable(conf.outbox), send_id)
    run(database, "UPDATE sends SET deferred_until = NULL")
    assert send_day(database, conf, send_id) == 10


def test_subscribers_with_recent_deliveries_come_first(database: Database, conf: Settings) -> None:
    first = begin(database, conf, 60)
    advance_sends(database, conf)
    deliver_send(database, conf, Outbox(conf.outbox), first)
    advance_sends(database, conf)
    run(database, "UPDATE deliveries SET settled_at = now() - interval '100 days' WHERE subscriber_id > 20")
    run(database, "UPDATE subscribers SET active_at = now() WHERE id = 50")
    run(database, "INSERT INTO consents (subscriber_id, kind, source) VALUES (55, 'confirmed', 'form')")
    warmup.start_warmup(database, 22, 4)
    issues = [old(), edition("second", body="<p>another</p>")]
    [send_id] = publish(database, conf, issues, [], Limits(), Request(issue="second", allow=["duplicate"])).send_ids
    assert send_day(database, conf, send_id) == 22
    with database.transaction() as tx:
        sent = tx.all("SELECT subscriber_id AS id FROM deliveries WHERE send_id = %(id)s AND state = 'accepted'", id=send_id)
    assert sorted(row["id"] for row in sent) == [*range(1, 21), 50, 55]


def test_a_send_that_runs_when_the_warm_up_starts_follows_it(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 100)
    run(database, "UPDATE sends SET open_wave = 1")  # published by a version without a last wave
    advance_sends(database, conf)
    warmup.start_warmup(database, 10, 4)
    assert send_day(database, conf, send_id) == 10
    assert warmup.stop_warmup(database)
    assert only(database).send.waiting_reason == ""
    assert send_day(database, conf, send_id) == 90


@pytest.mark.parametrize(
    ("kind", "number", "reason"),
    [
        ("hard bounce", 4, "4 hard bounces in 200 emails exceed 1.0%"),
        ("soft bounce", 11, "11 soft bounces in 200 emails exceed 5.0%"),
        ("hard bounce", 2, ""),
    ],
)
def test_bad_outcomes_end_the_day_and_the_next_one_does_not_grow(
    database: Database, conf: Settings, kind: str, number: int, reason: str
) -> None:
    send_id = begin(database, conf, 1000)
    warmup.start_warmup(database, 200, 10)
    send_day(database, conf, send_id)
    report(database, send_id, kind, number)
    run(database, "UPDATE warmup_days SET volume = 500")  # some are left
    for _ in range(3):
        warmup.check_outcomes(database)
    told = [text for text in list_told(database) if "warm-up is paused" in text]
    assert len(told) == bool(reason)
    run(database, "UPDATE sends SET deferred_until = NULL, waiting_reason = ''")
    assert send_day(database, conf, send_id) == (0 if reason else 300)
    if reason:
        assert reason in told[0]
        assert reason in only(database).send.waiting_reason
    pass_day(database)
    assert send_day(database, conf, send_id) == (200 if reason else 239)


def test_a_provider_that_defers_pauses_the_sends_for_an_hour(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 1000)
    warmup.start_warmup(database, 200, 10)
    send_day(database, conf, send_id)
    report(database, send_id, "delay", 100, "MailboxFull")
    check_circuit_breakers(database)
    assert list_told(database) == []
    run(database, "DELETE FROM delivery_events")
    report(database, send_id, "delay", 11, "TransientCommunicationFailure")
    check_circuit_breakers(database)
    state = warmup.read_warmup(database)
    assert state
    assert state.day.reason == "example.org defers 11 of 200 emails"
    assert state.left == 0
    assert state.day.paused_until
    with database.transaction() as tx:
        until = min(warmups.get_midnight(tx, "UTC"), tx.value("SELECT now()") + timedelta(hours=1))
    assert abs(state.day.paused_until - until) < timedelta(seconds=30)
    run(database, "UPDATE warmup_days SET paused_until = now(), watched_since = now(), volume = 250")
    run(database, "UPDATE sends SET deferred_until = NULL, waiting_reason = ''")
    assert send_day(database, conf, send_id) == 50
    check_circuit_breakers(database)
    assert len(list_told(database)) == 1  # the same deferrals pause it once


def test_without_a_warm_up_the_claim_loop_asks_nothing(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, conf, 20)
    monkeypatch.delattr(warmup, "lock_allowance")
    monkeypatch.delattr(warmup, "use_allowance")
    assert send_day(database, conf, send_id) == 20


def test_a_send_that_waits_for_the_warm_up_is_no_standstill(database: Database, conf: Settings) -> None:
    send_id = begin(database, conf, 100)
    warmup.start_warmup(database, 10, 4)
    send_day(database, conf, send_id)
    run(database, "UPDATE sends SET started_at = now() - interval '1 hour', due_at = now() - interval '1 hour'")
    see(database, *ALL)
    for _ in range(2):
        assert check_standstills(database, conf) in (True, False)
        run(database, "UPDATE standstills SET since = since - interval '1 minute'")
    assert list_told(database) == []


def test_a_warm_up_that_makes_no_sense_is_refused(database: Database, conf: Settings) -> None:
    begin(database, conf, 100)
    with pytest.raises(Refused, match="100 subscribers at most"):
        warmup.start_warmup(database, 200, 30)
    for first, days in ((0, 30), (10, 1), (10, 366)):
        with pytest.raises(BadInput, match="at least 1 email"):
            warmup.start_warmup(database, first, days)
    warmup.start_warmup(database, 10, 30)
    with pytest.raises(Refused, match="runs already"):
        warmup.start_warmup(database, 10, 30)
    assert [warmup.stop_warmup(database), warmup.stop_warmup(database)] == [True, False]


def test_the_commands_plan_and_status_show_it(
    database: Database, conf: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, conf, 100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", conf.database_url)

    def ask(*words: str) -> str:
        return " ".join(CliRunner().invoke(cli.cli, words).output.split())

    assert "No warm-up runs" in ask("warmup", "status")
    assert "The next 3 days: 22, 46, 100 emails." in ask("warmup", "start", "--first", "10", "--days", "4")
    send_day(database, conf, send_id)
    said = "Warm-up, day 1 of 4: 10 of 10 emails of today are used."
    assert said in ask("warmup", "status")
    assert '"left": 0' in ask("warmup", "status", "--json")
    assert said in ask("status")
    outlook = preview_publish(database, conf, [old()], [], Limits(), Request())
    assert outlook.warmup
    assert outlook.warmup.describe() == said
    assert "stopped" in ask("warmup", "stop")
    assert '"active": false' in ask("warmup", "status", "--json")
