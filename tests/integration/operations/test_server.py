"""The real server on a socket: answers leave whole and at once, in the order they were asked for, whatever their size."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import uvicorn

from api.server import app_process, uvicorn_server
from mailer.core.db import Database
from mailer.core.settings import Settings
from tests import web
from tests.factories import settings
from tests.processes import eventually

BIG = bytes(range(256)) * 6_000  # 1.5 MB


@contextlib.contextmanager
def serving(conf: Settings, database: Database) -> Iterator[tuple[uvicorn.Server, int]]:
    """The real server in a thread, and its port."""
    server = uvicorn.Server(uvicorn_server.make_config(partial(app_process.make_app, conf, database, "The Letter"), conf))
    listening = uvicorn_server.listen("127.0.0.1", 0)
    number = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield server, number
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def port(database: Database, tmp_path: Path) -> Iterator[int]:
    conf = settings(tmp_path, database.url)
    conf.site_folder.mkdir(parents=True)
    (conf.site_folder / "big.bin").write_bytes(BIG)
    with serving(conf, database) as (_, number):
        yield number


@pytest.mark.slow
def test_a_server_without_a_build_says_so_and_serves_forms_and_the_api(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    page = newsletter.client.get("/", headers={"Accept": "text/html"})
    assert (page.status_code, "There is no build of the site on this server." in page.text) == (404, True)
    assert newsletter.client.get("/subscribe").status_code == 200
    newsletter.subscribe("ada@example.org")
    assert newsletter.holder().get("/v1/subscribers/ada@example.org").status_code == 200
    newsletter.settings.site_folder.mkdir(parents=True)
    assert "no build" not in newsletter.client.get("/", headers={"Accept": "text/html"}).text


def connected(port: int) -> socket.socket:
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), 20)
        except ConnectionRefusedError:
            threading.Event().wait(0.05)
    raise AssertionError("the server does not listen")


def ask(path: str, method: str = "GET", more: str = "", body: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode() + body


def answers(connection: socket.socket, number: int) -> list[bytes]:
    """So many bodies, in their order."""
    file, found = connection.makefile("rb"), []
    for _ in range(number):
        length = 0
        while (line := file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        found.append(file.read(length))
    return found


def test_a_body_does_not_wait_for_the_acknowledgment_of_its_head(database: Database, tmp_path: Path) -> None:
    with serving(settings(tmp_path, database.url), database) as (server, number), connected(number) as client:
        client.sendall(ask("/v1/ping"))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        (connection,) = server.server_state.connections
        assert connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_requests_sent_at_once_are_answered_in_their_order(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(ask("/health") + ask("/v1/tags") + ask("/big.bin") + ask("/nothing/here"))
        health, tags, big, nothing = answers(connection, 4)
    assert b"authentication_missing" in tags
    assert big == BIG
    assert b"Page not found" in nothing
    assert health


def test_a_slow_client_gets_a_large_file_whole(port: int) -> None:
    with connected(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(ask("/big.bin", more="Connection: close\r\n"))
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    assert b"".join(parts).partition(b"\r\n\r\n")[2] == BIG


def test_a_client_that_waits_for_the_word_to_go_on_gets_it(port: int) -> None:
    with connected(port) as connection:
        more = "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        connection.sendall(ask("/webhooks/stripe", "POST", more))
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("path", ["/v1/imports", "/v1/publish/plan", "/v1/subscribers", "/v1/nothing"])
def test_the_key_is_checked_before_a_body_is_read(port: int, path: str) -> None:
    with connected(port) as connection:
        connection.sendall(ask(path, "POST", f"Expect: 100-continue\r\nContent-Length: {8 << 20}\r\n"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401")


def test_a_response_does_not_name_the_server(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(ask("/health"))
        assert b"\r\nserver:" not in connection.recv(1 << 16).lower()


@pytest.mark.parametrize("before", [0, 1])
def test_no_request_becomes_a_websocket_outside_of_the_limits_on_connections(port: int, before: int) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    with connected(port) as connection:
        for more in [*[""] * before, upgrade, ""]:
            connection.sendall(ask("/health", more=more))
            assert b"ok" in answers(connection, 1)[0]


def test_a_request_that_a_proxy_sends_while_the_server_stops_is_answered(database: Database, tmp_path: Path) -> None:
    conf = replace(settings(tmp_path, database.url), trusted_proxies="127.0.0.1/32")
    with serving(conf, database) as (server, number), connected(number) as idle, connected(number) as unused:
        idle.sendall(ask("/v1/ping"))
        assert b"connection: close" not in idle.recv(1 << 16).lower()
        server.should_exit = True
        time.sleep(0.5)
        idle.sendall(ask("/v1/ping", "POST", "Content-Length: 0\r\n"))
        head = idle.recv(1 << 16).partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 4")
        assert b"connection: close" in head
        assert idle.recv(1) == b""
        assert unused.recv(1) == b""


def test_a_request_that_has_begun_to_arrive_when_the_server_stops_is_answered(database: Database, tmp_path: Path) -> None:
    conf = replace(settings(tmp_path, database.url), trusted_proxies="127.0.0.1/32")
    with serving(conf, database) as (server, number), connected(number) as client:
        client.sendall(b"POST /v1/ping HTTP/1.1\r\nHost: x\r\nContent-")
        eventually(lambda: bool(server.server_state.connections), 10, "the server has the connection")
        server.should_exit = True
        time.sleep(2)  # longer than an unused connection is kept
        client.sendall(b"Length: 2\r\n\r\n{}")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("proxies", ["", "127.0.0.1/32"])
def test_a_server_that_stops_waits_for_no_client_for_long(database: Database, tmp_path: Path, proxies: str) -> None:
    conf = replace(settings(tmp_path, database.url), trusted_proxies=proxies)
    with serving(conf, database) as (server, number), connected(number) as client:
        client.sendall(ask("/v1/ping"))
        assert client.recv(1 << 16)
        started = time.monotonic()
        server.should_exit = True
        assert client.recv(1) == b""
        assert time.monotonic() - started < 5
