"""Whatever the servers answer that the scheduler asks (the issue's page, the operator's address), the scheduler continues."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.flows.operations import operator_notices
from mailer.flows.publishing.preflight import fetch_live_digest
from mailer.store.operations import notices
from mailer.workers import scheduler
from tests.factories import settings
from tests.machine import measure_slowness

ODD = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "half of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "less than it said": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nab",
    "a place that is none": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:port/\r\n\r\n",
    "too long a head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
    "nothing": b"",
}


@contextmanager
def answering(answer: bytes, drip: bytes = b"") -> Iterator[str]:
    """A server that gives this answer to everybody, and then drips until the other side goes."""

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line:
                try:
                    line.recv(65536)
                    line.sendall(answer)
                    while drip:
                        line.sendall(drip)
                        time.sleep(0.02)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/issue/"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", ODD)
def test_a_page_that_answers_oddly_is_not_live(kind: str) -> None:
    with answering(ODD[kind]) as url:
        assert fetch_live_digest(url) == ""


@pytest.mark.parametrize("url", ["http://[::1/x", "http://two words.example/", "http://127.0.0.1:port/"])
def test_an_address_that_is_none_has_no_page(url: str) -> None:
    assert fetch_live_digest(url) == ""


def test_a_page_that_never_ends_is_read_no_longer_than_allowed() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n", drip=b"x") as url:
        started = time.monotonic()
        assert fetch_live_digest(url, timeout=0.3) == ""
        assert time.monotonic() - started < 3 * measure_slowness()


@pytest.mark.parametrize("kind", ["another protocol", "a place that is none", "too long a head"])
def test_a_notice_waits_when_the_operators_address_answers_oddly(database: Database, tmp_path: Path, kind: str) -> None:
    with database.transaction() as tx:
        notices.add(tx, "Send 1 of hello is stopped")
    with answering(ODD[kind]) as url:
        assert operator_notices.post_notices(database, settings(tmp_path, notify_url=url)) == 0
    with database.transaction() as tx:
        assert notices.claim_next(tx)


def test_the_clock_survives_a_fault_of_ours(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[Exception | None] = [ZeroDivisionError("a fault of ours"), Unavailable("Postgres is away"), None]
    stopping = threading.Event()

    def once(*_: object) -> None:
        error = rounds.pop(0)
        if error:
            raise error
        stopping.set()

    monkeypatch.setattr(scheduler, "run_round", once)
    scheduler.run_scheduler(database, settings(tmp_path), None, stopping, tick=0.05)  # type: ignore[arg-type]
    assert rounds == []
