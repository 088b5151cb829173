"""The real server on a socket: answers leave whole and at once, in the order they were asked for, whatever their size."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.server import uvicorn_server
from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from tests import web
from tests.factories import settings

BIG = bytes(range(256)) * 6_000  # 1.5 MB


@pytest.fixture
def port(database: Database, tmp_path: Path) -> Iterator[int]:
    conf = settings(tmp_path, database.url)
    conf.site_folder.mkdir(parents=True)
    (conf.site_folder / "big.bin").write_bytes(BIG)
    number = find_free_port()
    stopping = threading.Event()
    thread = threading.Thread(target=uvicorn_server.serve, args=(conf, database, "The Letter", "127.0.0.1", number, stopping))
    thread.start()
    yield number
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()


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


def test_head_and_body_of_a_response_are_sent_together_and_at_once(port: int) -> None:
    with connected(port) as connection:
        for _ in range(5):
            connection.sendall(ask("/v1/tags"))
            whole = connection.recv(1 << 16)
            head, _, body = whole.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401")
            assert b'"code":"authentication_missing"' in body
    with uvicorn_server.listen("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


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
    number = find_free_port()
    stopping = threading.Event()
    thread = threading.Thread(target=uvicorn_server.serve, args=(conf, database, "The Letter", "127.0.0.1", number, stopping))
    thread.start()
    with connected(number) as idle:
        idle.sendall(ask("/v1/ping"))
        assert b"connection: close" not in idle.recv(1 << 16).lower()
        stopping.set()
        time.sleep(0.5)
        idle.sendall(ask("/v1/ping", "POST", "Content-Length: 0\r\n"))
        head = idle.recv(1 << 16).partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 4")
        assert b"connection: close" in head
        assert idle.recv(1) == b""
    thread.join(20)
    assert not thread.is_alive()
