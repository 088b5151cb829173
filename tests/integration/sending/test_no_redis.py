"""While Redis is away a send that runs continues, at the worker's safe share of the rate; other sends still get their turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import send_control
from mailer.flows.sending.delivery_worker import DeliveryResult, deliver_send
from mailer.flows.sending.send_rate import SendRate
from mailer.transports.outbox import Outbox
from mailer.workers import actors
from mailer.workers.actors import WorkerContext, WorkerThreads
from tests.factories import settings
from tests.integration.sending.test_send_control import begin, only

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, redis_url=NOWHERE, connections=4, first_slice=100.0)


def short_slicees(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each slice of sending is over after two claims; how many emails each sent."""
    slicees: list[int] = []

    def slice(
        database: Database, conf: Settings, transport: Outbox, send_id: int, stopping: Callable[[], bool], rate: SendRate
    ) -> DeliveryResult:
        asked = itertools.count(1)
        done = deliver_send(database, conf, transport, send_id, stopping=lambda: stopping() or next(asked) > 2, rate=rate)
        slicees.append(done.sent)
        return done

    monkeypatch.setattr(actors, "deliver_send", slice)
    return slicees


def test_a_send_continues_without_redis(database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    send_id = begin(database, conf, 30)
    advance_sends(database, conf)
    slicees = short_slicees(monkeypatch)
    WorkerThreads(WorkerContext(database, conf, Outbox(conf.outbox), "The Letter"))._deliver_send(send_id)
    assert only(database).deliveries["accepted"] == 30
    assert len(slicees) > 1


def test_a_send_without_redis_can_still_be_controlled(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, conf, 30)
    advance_sends(database, conf)
    short_slicees(monkeypatch)
    threads = WorkerThreads(WorkerContext(database, conf, Outbox(conf.outbox), "The Letter"))
    send_control.pause_send(database, str(send_id))
    started = time.monotonic()
    threads._deliver_send(send_id)
    assert (only(database).deliveries["pending"], time.monotonic() - started < 5) == (30, True)


def test_a_stopping_worker_does_not_start_another_slice_without_redis(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, conf, 30)
    advance_sends(database, conf)
    short_slicees(monkeypatch)
    threads = WorkerThreads(WorkerContext(database, conf, Outbox(conf.outbox), "The Letter"))
    threads.stopping.set()
    threads._deliver_send(send_id)
    assert only(database).deliveries["pending"] == 30
