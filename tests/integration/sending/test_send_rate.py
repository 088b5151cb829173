"""The rate and the quota: never more than the account allows, shared by all workers, and visible when it has to wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from mailer.core.db import Database
from mailer.core.rate_limiter import CUT_FACTOR, HEADROOM, LOCAL_RATE_DIVISOR, SendSlots, SharedRateLimiter
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import send_rate
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_rate import SendRate, quota_reserve
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers.signup import sign_up
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.transports.base import AccountLimits
from mailer.transports.ses_fast import FastSes
from tests.factories import add_subscribers, edition, old, settings, sums_add_up
from tests.fakes.ses import FakeSes

RATE = 200.0


@pytest.fixture(scope="module")
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        yield fake


@pytest.fixture
def conf(tmp_path: Path, ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> Settings:
    ses.reset()
    for name, value in ses.environ.items():
        monkeypatch.setenv(name, value)
    return settings(tmp_path, transport="ses", connections=16, first_slice=100.0)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"test:{request.node.name}"


def transport(conf: Settings) -> FastSes:
    return FastSes(connections=conf.connections, connect_timeout=2, read_timeout=2)


def start(database: Database, conf: Settings, number: int) -> int:
    add_subscribers(database, number)
    adopt_issues(database, conf, [old()])
    allow = Request(allow=("quota",))
    [send_id] = publish(database, conf, [old(), edition()], [], transport(conf), allow).send_ids
    advance_sends(database, conf)
    return send_id


def busiest_second(slots: list[float]) -> int:
    slots = sorted(slots)
    return max(sum(1 for slot in slots[at:] if slot < first + 1) for at, first in enumerate(slots))


def test_workers_share_one_rate(redis_url: str, key: str) -> None:
    team = [SharedRateLimiter(redis_url, key) for _ in range(3)]
    client: Any = redis.Redis.from_url(redis_url)
    slots: list[float] = []
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        for one in team:
            grant = one.take_slots(20, RATE)
            after, now = (float(part) / 1e6 for part in client.hmget(key, "next", "at"))  # by the time that all share
            first = after - grant.count * grant.gap
            slots += [first + number * grant.gap for number in range(grant.count)]
            assert grant.count == 0 or grant.delay == pytest.approx(max(0.0, first - now), abs=0.0001)
        time.sleep(0.005)
    assert 0.95 * RATE * 2.5 <= len(slots) <= HEADROOM * RATE * 2.8
    assert busiest_second(slots) <= RATE


def test_without_redis_a_worker_takes_its_safe_share(key: str) -> None:
    alone = SharedRateLimiter("redis://127.0.0.1:1/0", key)
    until, given = time.monotonic() + 1.5, 0
    while time.monotonic() < until:
        given += alone.take_slots(20, RATE).count
        time.sleep(0.01)
    share = RATE / LOCAL_RATE_DIVISOR
    assert 0.5 * share * 1.5 <= given <= share * 1.5 + 0.2 * share + 1


def test_throttling_cuts_the_common_rate_and_it_grows_back(redis_url: str, key: str) -> None:
    one, other = SharedRateLimiter(redis_url, key), SharedRateLimiter(redis_url, key)
    before = one.take_slots(1, RATE).gap
    one.reduce(RATE)
    one.reduce(RATE)  # the same storm: one cut a second
    cut = other.take_slots(1, RATE).gap
    assert cut == pytest.approx(before / CUT_FACTOR, rel=0.05)
    time.sleep(2)
    assert other.take_slots(1, RATE).gap == pytest.approx(before, rel=0.02)


def test_a_transactional_email_is_sent_at_once_and_bulk_yields(redis_url: str, key: str) -> None:
    limiter = SharedRateLimiter(redis_url, key)
    while limiter.take_slots(20, RATE).count:
        pass
    urgent = limiter.take_slots(10, RATE, urgent=True)
    assert (urgent.count, urgent.delay) == (10, 0)
    started = time.monotonic()
    while not limiter.take_slots(1, RATE).count:
        time.sleep(0.002)
    assert time.monotonic() - started >= 9 / RATE  # the ten slots are gone


def test_the_limits_are_asked_again_while_it_sends(conf: Settings, ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_rate, "REFRESH_SECONDS", 0.1)

    class Seen:
        def __init__(self) -> None:
            self.rates: list[float] = []

        def take_slots(self, wanted: int, rate: float, urgent: bool = False) -> SendSlots:
            self.rates.append(rate)
            return SendSlots(wanted)

        def reduce(self, rate: float) -> None: ...

    seen = Seen()
    rate = SendRate(transport(conf), seen)
    ses.control(rate=14, quota=50_000)
    rate.take_slots(1)
    ses.control(rate=50)
    time.sleep(0.15)
    rate.take_slots(1)
    assert seen.rates == [14, 50]


@pytest.mark.slow
def test_a_used_up_quota_waits_visibly_and_goes_on_by_itself(database: Database, conf: Settings, ses: FakeSes) -> None:
    ses.control(quota=40)
    send_id = start(database, conf, 60)
    kept = int(quota_reserve(AccountLimits(rate=1, quota=40, sent=0)))
    deliver_send(
        database, conf, transport(conf), send_id, rate=SendRate(transport(conf), SharedRateLimiter("redis://127.0.0.1:1/0"))
    )
    [waiting] = list_send_statuses(database)
    assert len(ses.accepted()) <= 40 - kept
    assert waiting.send.state == "sending"
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%a %d %b}"  # the emails were sent just now
    assert f"24-hour quota is used up; resumes about {tomorrow}" in (waiting.send.waiting_reason)
    sign_up(database, "late@example.net")
    assert (
        deliver_batch(
            database, conf, transport(conf), "The Letter", SendRate(transport(conf), SharedRateLimiter("redis://127.0.0.1:1/0"))
        )
        == 1
    )
    assert ses.accepted()[-1]["to"] == "late@example.net"
    ses.control(quota=10_000)
    with database.transaction() as tx:
        tx.run("UPDATE sends SET deferred_until = now()")
    while list_send_statuses(database)[0].send.state == "sending":
        deliver_send(database, conf, transport(conf), send_id)
        advance_sends(database, conf)
    [done] = list_send_statuses(database)
    assert done.send.state == "finished"
    assert done.deliveries["accepted"] == 60
    assert len({email["to"] for email in ses.accepted()}) == len(ses.accepted()) == 61
    assert sums_add_up(database)


def test_no_email_is_lost_when_others_use_up_the_quota(database: Database, conf: Settings, ses: FakeSes) -> None:
    """SES throttles although our count had quota left: the emails go back to pending, and no attempt is counted."""
    ses.control(quota=10_000)
    send_id = start(database, conf, 30)
    rate = SendRate(transport(conf), SharedRateLimiter("redis://127.0.0.1:1/0"))
    rate.quota_left()
    ses.control(quota=0)
    deliver_send(database, conf, transport(conf), send_id, seconds=1, rate=rate)
    assert ses.accepted() == []
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = 0") == 30


def test_the_reserve_is_one_percent_and_at_least_ten() -> None:
    assert [quota_reserve(AccountLimits(1, quota, 0)) for quota in (-1, 5, 200, 50_000)] == [0, 5, 10, 500]
