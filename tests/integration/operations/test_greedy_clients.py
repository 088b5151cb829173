"""A real server with 256 open files: slow and greedy clients cost the others nothing."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations.api_keys import create_key
from tests import processes
from tests.factories import settings
from tests.machine import measure_slowness

FILES = 256
HALF_REQUESTS = 300
HALF_BODIES = 10
BODY_BYTES = 32 << 20


@pytest.fixture
def port(database: Database, tmp_path: Path) -> Iterator[int]:
    """The port of a `postmerge serve` with one process and few open files."""
    conf, port = settings(tmp_path, database.url), find_free_port()
    conf.site_folder.mkdir(parents=True)
    child = subprocess.Popen(
        [sys.executable, "-m", "mailer.cli", "serve", "--until-eof", "--port", str(port), "--processes", "1"],
        env=processes.environment(conf, {}),
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
    )
    try:
        processes.eventually(lambda: answers(port), 60, "the server answers")
        yield port
    finally:
        processes.stop(child)


def answers(port: int, seconds: float = 5) -> bool:
    """Whether a new client gets the whole answer in time."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), seconds) as client:
        client.sendall(b"GET /subscribe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return client.makefile("rb").read().startswith(b"HTTP/1.1 200")
    return False


def connect(stack: contextlib.ExitStack, port: int, first: bytes) -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
    with contextlib.suppress(OSError):
        client.sendall(first)
    return client


def read_all(client: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionError):
        return client.makefile("rb").read()
    return b""


@pytest.mark.slow
def test_half_requests_and_half_bodies_change_nothing_for_others(database: Database, port: int) -> None:
    key = create_key(database, "importer", "subscribers")
    announced = f"Host: 127.0.0.1\r\nContent-Type: text/csv\r\nContent-Length: {BODY_BYTES}\r\n"
    head = f"POST /v1/imports HTTP/1.1\r\n{announced}"
    with contextlib.ExitStack() as stack:
        for _ in range(HALF_REQUESTS):
            connect(stack, port, b"GET /subscribe HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        strangers = [connect(stack, port, f"{head}\r\n".encode() + b"x" * 1000) for _ in range(HALF_BODIES)]
        for _ in range(HALF_BODIES):
            connect(stack, port, f"{head}Authorization: Token {key}\r\n\r\n".encode() + b"x" * (1 << 20))
        for _ in range(5):
            before = time.monotonic()
            assert answers(port)
            assert time.monotonic() - before < 3 * measure_slowness()
        for stranger in strangers[-3:]:
            assert stranger.recv(1 << 16).startswith(b"HTTP/1.1 401")


@pytest.mark.slow
def test_a_head_and_an_idle_connection_end_in_time(port: int) -> None:
    with contextlib.ExitStack() as stack:
        half = connect(stack, port, b"GET /subscribe HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        blank = connect(stack, port, b"")
        idle = connect(stack, port, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        for client in (half, blank, idle):
            client.settimeout(20)
        started = time.monotonic()
        while time.monotonic() - started < 8:
            time.sleep(1)
            with contextlib.suppress(OSError):
                half.sendall(b"X-Slow: 1\r\n")
                blank.sendall(b"\r\n")
        for client in (half, blank, idle):
            read_all(client)
        assert time.monotonic() - started < 16 * measure_slowness()
