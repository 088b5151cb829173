"""First proofs of the invariants: real processes killed in mid-send, judged by what the fake SES accepted."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.sending import send_control, warmup
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from mailer.workers.actors import WakeUps
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.fakes.ses import FakeSes
from tests.integration.publishing.test_publish import Limits
from tests.integration.sending.test_warmup import pass_day
from tests.processes import eventually, kill, running, start, stop
from tests.sequences import join, merge, steps

pytestmark = pytest.mark.slow

SUBSCRIBERS = 10_000
CONNECTIONS = 16


@pytest.fixture
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        fake.control(latency_s=0.02)
        yield fake


@pytest.fixture
def conf(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    redis.Redis.from_url(redis_url).flushall()
    return settings(
        tmp_path, database_url, redis_url, transport="ses", connections=CONNECTIONS, claim_lease=timedelta(seconds=15)
    )


def begin(database: Database, conf: Settings, number: int) -> None:
    add_subscribers(database, number)
    adopt_issues(database, conf, [old()])
    [send_id] = publish(database, conf, [old(), edition()], [], Limits(), Request()).send_ids
    WakeUps(conf.redis_url).enqueue_send(send_id)


def finished(database: Database) -> bool:
    return list_send_statuses(database)[0].send.state == "finished"


def judge(database: Database, ses: FakeSes, number: int, most_uncertain: int) -> SendStatus:
    """Check that nobody got two emails, and that whoever got none is uncertain: at most as many as were in flight."""
    [one] = list_send_statuses(database)
    got = [email["to"] for email in ses.accepted()]
    assert len(got) == len(set(got)), "somebody got the email twice"
    assert sums_add_up(database)
    assert one.deliveries["accepted"] + one.deliveries["uncertain"] == number
    assert number - one.deliveries["uncertain"] <= len(got) <= number, "somebody was omitted who is not uncertain"
    assert one.deliveries["uncertain"] <= most_uncertain
    return one


def test_kill_9_of_the_worker_again_and_again_loses_nobody_and_doubles_nobody(
    database: Database, conf: Settings, ses: FakeSes
) -> None:
    kills, chance = 5, random.Random(20261124)
    begin(database, conf, SUBSCRIBERS)
    with running("scheduler", conf, ses.environ):
        for _ in range(kills):
            worker = start("worker", conf, ses.environ)
            before = len(ses.accepted())
            eventually(lambda: len(ses.accepted()) > before + 300, 60, "the worker sends")  # noqa: B023
            time.sleep(chance.random() / 5)
            kill(worker)
        with running("worker", conf, ses.environ):
            eventually(lambda: finished(database), 150, "the send finishes by itself")
    judge(database, ses, SUBSCRIBERS, most_uncertain=kills * CONNECTIONS)


def test_flushall_in_mid_send_heals_by_itself(database: Database, conf: Settings, ses: FakeSes) -> None:
    begin(database, conf, 3_000)
    with running("scheduler", conf, ses.environ), running("worker", conf, ses.environ):
        eventually(lambda: len(ses.accepted()) > 300, 60, "the worker sends")
        redis.Redis.from_url(conf.redis_url).flushall()
        eventually(lambda: finished(database), 90, "the send finishes by itself")
    judge(database, ses, 3_000, most_uncertain=0)


def test_flushall_and_a_kill_together_heal_by_themselves(database: Database, conf: Settings, ses: FakeSes) -> None:
    begin(database, conf, 2_000)
    with running("scheduler", conf, ses.environ):
        worker = start("worker", conf, ses.environ)
        eventually(lambda: len(ses.accepted()) > 300, 60, "the worker sends")
        kill(worker)
        redis.Redis.from_url(conf.redis_url).flushall()
        with running("worker", conf, ses.environ):
            eventually(lambda: finished(database), 120, "the send finishes by itself")
    judge(database, ses, 2_000, most_uncertain=CONNECTIONS)


def test_pause_resume_and_stop_act_within_two_seconds_on_every_worker(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(rate=40)
    begin(database, conf, 3_000)

    def quiet_within_two_seconds() -> None:
        time.sleep(2)
        before = len(ses.accepted())
        time.sleep(2)
        assert len(ses.accepted()) == before

    with contextlib.ExitStack() as stack:
        for command in ("scheduler", "worker", "worker"):
            stack.enter_context(running(command, conf, ses.environ))
        eventually(lambda: len(ses.accepted()) > 100, 60, "the workers send")
        send_control.pause_send(database, "1")
        quiet_within_two_seconds()
        paused = len(ses.accepted())
        send_control.resume_send(database, "1")
        eventually(lambda: len(ses.accepted()) > paused, 2, "it continues")
        send_control.stop_send(database, "1", "a wrong link")
        quiet_within_two_seconds()
    [one] = list_send_statuses(database)
    assert (one.send.state, one.send.reason, one.deliveries.get("claimed", 0)) == ("stopped", "a wrong link", 0)


def test_two_workers_share_a_send_and_nothing_of_a_terminated_one_is_uncertain(
    database: Database, conf: Settings, ses: FakeSes
) -> None:
    begin(database, conf, 3_000)
    with running("scheduler", conf, ses.environ), running("worker", conf, ses.environ):
        other = start("worker", conf, ses.environ)
        eventually(lambda: len(ses.accepted()) > 500, 60, "the workers send")
        stop(other)
        eventually(lambda: finished(database), 90, "the send finishes")
    judge(database, ses, 3_000, most_uncertain=0)


def test_kill_9_of_worker_and_scheduler_gives_everybody_the_welcome_once(
    database: Database, conf: Settings, ses: FakeSes
) -> None:
    number, kills = 4_000, 4
    merge(database, conf, [old(), *steps("hello", "more")])
    join(database, *(f"p{one}" for one in range(number)))
    for _ in range(kills):
        worker, scheduler = start("worker", conf, ses.environ), start("scheduler", conf, ses.environ)
        before = len(ses.accepted())
        eventually(lambda: len(ses.accepted()) > before + 300, 60, "the worker sends")  # noqa: B023
        kill(scheduler)
        kill(worker)
    with running("scheduler", conf, ses.environ), running("worker", conf, ses.environ):
        eventually(lambda: _count_open(database) == 0, 120, "the welcome is sent by itself")
    got = [email["to"] for email in ses.accepted()]
    assert len(got) == len(set(got)), "somebody got the welcome twice"
    assert sums_add_up(database)
    counts = list_send_statuses(database, "sequences/welcome/hello")[0].deliveries
    assert counts["accepted"] + counts["uncertain"] == number
    assert number - counts["uncertain"] <= len(got) <= number
    assert counts["uncertain"] <= kills * CONNECTIONS


def test_kill_9_of_worker_and_scheduler_in_the_middle_of_warm_up_days_exceeds_no_day(
    database: Database, conf: Settings, ses: FakeSes
) -> None:
    ses.control(rate=200)
    begin(database, conf, 3_000)
    assert warmup.start_warmup(database, 600, 4).volumes[:2] == (600, 1026)
    allowed = 0
    for volume, kills in ((600, 2), (1_026, 2)):
        allowed += volume
        for _ in range(kills):
            worker, scheduler = start("worker", conf, ses.environ), start("scheduler", conf, ses.environ)
            before = len(ses.accepted())
            eventually(lambda: len(ses.accepted()) > before + 40, 180, "the worker sends")  # noqa: B023
            kill(scheduler)
            kill(worker)
        assert len(ses.accepted()) < allowed, "the day was used up before the last kill"
        with running("scheduler", conf, ses.environ), running("worker", conf, ses.environ):
            eventually(lambda: _left_today(database) == 0 and _count_open(database) == 3_000 - allowed, 240, "it is used")  # noqa: B023
            time.sleep(2)  # more than the scheduler needs to wake a worker
        uncertain = list_send_statuses(database)[0].deliveries["uncertain"]
        assert allowed - uncertain <= len(ses.accepted()) <= allowed
        pass_day(database)
    with running("scheduler", conf, ses.environ), running("worker", conf, ses.environ):
        eventually(lambda: finished(database), 240, "the third day continues by itself")
    judge(database, ses, 3_000, most_uncertain=4 * CONNECTIONS)


def _left_today(database: Database) -> int:
    state = warmup.read_warmup(database)
    assert state
    return state.left


def _count_open(database: Database) -> int:
    """How many wait for the first step, or for their email of it."""
    with database.transaction() as tx:
        return int(
            tx.value(
                """
                SELECT (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'claimed')) + (
                    SELECT count(*) FROM enrolments JOIN sequence_steps ON sequence_steps.id = step_id WHERE key = 'hello'
                )
                """
            )
        )
