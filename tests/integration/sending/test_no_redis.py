"""While Redis is away a send that runs goes on, at the worker's safe share of the rate; other sends still get their turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.scheduled.send_scheduler import tend
from mailer.flows.sending import send_control
from mailer.flows.sending.delivery_worker import Slice, deliver
from mailer.flows.sending.send_rate import Pace
from mailer.transports.outbox import Outbox
from mailer.workers import actors
from mailer.workers.actors import Work, Workshop
from tests.factories import settings
from tests.integration.sending.test_send_control import begin, only

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, redis_url=NOWHERE, connections=4, first_slice=100.0)


def short_stretches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each stretch of sending is over after two claims; how many mails each handed over."""
    stretches: list[int] = []

    def stretch(
        database: Database, conf: Settings, transport: Outbox, send_id: int, stopping: Callable[[], bool], pace: Pace
    ) -> Slice:
        asked = itertools.count(1)
        done = deliver(database, conf, transport, send_id, stopping=lambda: stopping() or next(asked) > 2, pace=pace)
        stretches.append(done.sent)
        return done

    monkeypatch.setattr(actors, "deliver", stretch)
    return stretches


def test_a_send_goes_on_without_bells(database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    send_id = begin(database, conf, 30)
    tend(database, conf)
    stretches = short_stretches(monkeypatch)
    Workshop(Work(database, conf, Outbox(conf.outbox), "The Letter"))._send(send_id)
    assert only(database).deliveries["accepted"] == 30
    assert len(stretches) > 1


def test_a_send_without_bells_still_obeys(database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    send_id = begin(database, conf, 30)
    tend(database, conf)
    short_stretches(monkeypatch)
    workshop = Workshop(Work(database, conf, Outbox(conf.outbox), "The Letter"))
    send_control.pause(database, str(send_id))
    started = time.monotonic()
    workshop._send(send_id)
    assert (only(database).deliveries["pending"], time.monotonic() - started < 5) == (30, True)


def test_a_worker_that_stops_does_not_go_on_without_bells(
    database: Database, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_id = begin(database, conf, 30)
    tend(database, conf)
    short_stretches(monkeypatch)
    workshop = Workshop(Work(database, conf, Outbox(conf.outbox), "The Letter"))
    workshop.stopping.set()
    workshop._send(send_id)
    assert only(database).deliveries["pending"] == 30
