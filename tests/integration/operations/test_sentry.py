"""Our own errors arrive at Sentry with ids and without addresses; a Redis outage does not, and no hanging Sentry delays us."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from tests.factories import settings
from tests.pages import Page, web
from tests.processes import ROOT, eventually, running

__all__ = ["web"]


class Sink(http.server.BaseHTTPRequestHandler):
    """Sentry's own address for envelopes: keeps their events."""

    events: list[dict[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = body.split(b"\n")
        for head, payload in zip(lines[1::2], lines[2::2], strict=False):
            if head and json.loads(head).get("type") == "event":
                Sink.events.append(json.loads(payload))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def dsn() -> Iterator[str]:
    Sink.events = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://key@127.0.0.1:{server.server_address[1]}/1"
    server.shutdown()


def run_program(dsn: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run a program that reports to ``dsn``."""
    begin = f"from mailer.core import log\nlog.configure('error', {dsn!r}, 'worker')\nlogger = log.get('test')\n"
    return subprocess.run(
        [sys.executable, "-c", begin + text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )


def test_an_error_arrives_with_its_ids_and_without_addresses(dsn: str) -> None:
    run_program(dsn, "logger.error('send.fenced', send=12, reason='told by ada@example.org in time')")
    [event] = Sink.events
    assert (event["message"], event["level"], event["logger"]) == ("send.fenced", "error", "test")
    assert event["tags"] == {"process": "worker", "part": "test", "send": "12", "reason": "told by (address) in time"}
    assert event["release"].startswith("postmerge@")
    assert "ada@" not in json.dumps(event)


def test_an_exception_arrives_with_its_place_and_without_addresses(dsn: str) -> None:
    run_program(
        dsn,
        "def break_down(address):\n    raise ValueError(f'no such person: {address}')\n"
        "try:\n    break_down('ada@example.org')\n"
        "except ValueError as error:\n    logger.exception('delivery.unbuildable', send=3, error=type(error).__name__)",
    )
    [event] = Sink.events
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no such person: (address)")
    assert error["stacktrace"]["frames"][-1]["function"] == "break_down"
    assert "ada@" not in json.dumps(event)


def test_an_uncaught_exception_and_one_of_a_thread_arrive(dsn: str) -> None:
    program = (
        "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\nraise KeyError('ada@example.org')"
    )
    with pytest.raises(subprocess.CalledProcessError):
        run_program(dsn, program)
    assert {event["exception"]["values"][-1]["type"] for event in Sink.events} == {"ZeroDivisionError", "KeyError"}
    assert "ada@" not in json.dumps(Sink.events)


def test_warnings_and_an_error_that_repeats_do_not_fill_sentry(dsn: str) -> None:
    run_program(dsn, "for _ in range(200):\n    logger.warning('queue.unavailable')\n    logger.error('send.waits', send=1)")
    assert [event["message"] for event in Sink.events] == ["send.waits"]


@pytest.mark.slow
def test_a_redis_that_is_away_is_not_an_error(database: Database, database_url: str, tmp_path: Path, dsn: str) -> None:
    conf = settings(tmp_path, database_url, "redis://127.0.0.1:1/0")
    with running("worker", conf, {"SENTRY_DSN": dsn}), running("scheduler", conf, {"SENTRY_DSN": dsn}):
        eventually(lambda: _count_seen(database) == 2, 30, "both run")
        time.sleep(3)
    assert Sink.events == []


def _count_seen(database: Database) -> int:
    with database.transaction() as tx:
        return int(tx.value("SELECT count(*) FROM heartbeats"))


@pytest.mark.slow
def test_a_sentry_that_hangs_delays_neither_the_work_nor_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = (
            "import time\nstarted = time.monotonic()\n"
            "for number in range(500):\n    logger.error('send.fenced', send=number)\n"
            "print(time.monotonic() - started)"
        )
        started = time.monotonic()
        done = run_program(f"http://key@127.0.0.1:{silent.getsockname()[1]}/1", program)
        assert float(done.stdout) < 5
        assert time.monotonic() - started < 25


def test_requests_to_other_servers_have_no_headers_of_sentry(dsn: str, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Page, "parse_request", _note_headers(Page.parse_request, seen))
    run_program(
        dsn,
        "from mailer.core.settings import Settings\nfrom mailer.flows.operations import operator_notices\n"
        "from mailer.webhooks import signed_post\n"
        f"operator_notices.ping(Settings(ping_url={web!r}))\noperator_notices._post_text({web!r}, 'hello')\n"
        f"signed_post.post({web!r}, 'whsec_x', 'm', b'x', signed_post.parse_networks('127.0.0.0/8'))",
    )
    assert len(seen) == 3
    assert not [headers for headers in seen if "sentry" in headers.lower() or "baggage" in headers.lower()]


def _note_headers(parse: Any, seen: list[str]) -> Any:
    def parse_and_note(self: Page) -> bool:
        done = bool(parse(self))
        seen.append(str(self.headers))
        return done

    return parse_and_note
