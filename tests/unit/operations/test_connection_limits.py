"""Deadlines and bounds of connections, on a real event loop with short limits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from api.server import connection_limits
from api.server.connection_limits import ConnectionLimits, LimitedProtocol
from tests.processes import eventually

BIG = b"x" * (4 << 20)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    if scope["path"] == "/early":
        return await PlainTextResponse("no", 401)(scope, receive, send)
    body = await request.body()
    await Response(BIG if scope["path"] == "/big" else body)(scope, receive, send)


@dataclass
class Served:
    """A server on a socket, in a thread."""

    port: int
    connections: set[Any]
    requests: Callable[[], int]

    def connect(self, first: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), 5)
        client.sendall(first)
        return client


@contextlib.contextmanager
def serving(capacity: int = 100, proxies: str = "") -> Iterator[Served]:
    ready, stop = threading.Event(), threading.Event()
    limits = ConnectionLimits(capacity, [ip_network(proxies)] if proxies else [])
    found: list[int] = []

    config = uvicorn.Config(app, http=LimitedProtocol, log_level="critical", lifespan="off")
    state = uvicorn.Server(config).server_state

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: LimitedProtocol(limits, config, state, {}), "127.0.0.1", 0)
        found.append(server.sockets[0].getsockname()[1])
        ready.set()
        while not stop.is_set():
            await limits.close_late()
            await asyncio.sleep(0.02)
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield Served(found[0], state.connections, lambda: state.total_requests)
    finally:
        stop.set()
        thread.join(10)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_HEAD_SECONDS", "MAX_BODY_WAIT_SECONDS", "MAX_STALL_SECONDS"):
        monkeypatch.setattr(connection_limits, name, 0.3)


def is_closed(client: socket.socket, seconds: float = 5) -> bool:
    """Whether the server closes the connection in time."""
    client.settimeout(seconds)
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def is_answered(served: Served) -> bool:
    with served.connect(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
        return client.makefile("rb").read().startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("short_limits")
@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET",
    ],
)
def test_a_connection_that_waits_for_its_client_ends(first: bytes) -> None:
    with serving() as served, served.connect(first) as client:
        assert is_closed(client)


@pytest.mark.usefixtures("short_limits")
def test_bytes_that_trickle_in_do_not_keep_a_connection_open() -> None:
    with serving() as served, served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n") as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                client.sendall(b"X: y\r\n")
                threading.Event().wait(0.05)
        assert is_closed(client)


@pytest.mark.usefixtures("short_limits")
def test_a_client_that_does_not_read_its_response_is_cut_off() -> None:
    with serving() as served, served.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: served.requests() > 0, 5, "the response has begun")
        eventually(lambda: not served.connections, 5, "the server has no connection")


def test_the_longest_waiting_connection_is_closed_for_a_new_one() -> None:
    with serving(capacity=8) as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.connect(b"GET / HTTP/1.1\r\nX-")) for _ in range(30)]
        assert is_answered(served)
        assert is_closed(clients[0])


def test_a_trusted_proxy_may_have_more_connections_than_one_client() -> None:
    for proxies, closed in (("", True), ("127.0.0.0/8", False)):
        with serving(capacity=40, proxies=proxies) as served, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(served.connect(b"GET / HTTP/1.1\r\nX-")) for _ in range(20)]
            assert is_answered(served)
            assert is_closed(clients[0], 0.5) is closed


def test_a_head_has_a_limit_and_a_body_after_it_does_not_count() -> None:
    with serving() as served:
        with served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n") as client:
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    client.sendall(b"X: " + b"y" * 8000 + b"\r\n")
                    threading.Event().wait(0.002)
            assert is_closed(client)
        body = b"z" * 300_000
        with served.connect(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n" + body
        ) as client:
            assert client.makefile("rb").read().endswith(body)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8::1:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("10.1.2.3", ""),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(address: str, client: str) -> None:
    assert ConnectionLimits(10, [ip_network("10.0.0.0/8")]).name_client(address) == client


def test_requests_that_do_not_wait_for_their_responses_are_few() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving() as served, served.connect(request * 2000) as client:
        assert is_closed(client)
        assert served.requests() <= connection_limits.MAX_PIPELINED_REQUESTS + 1
        assert is_answered(served)


def test_a_few_pipelined_requests_are_answered_in_order() -> None:
    requests = b"".join(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % number for number in range(5))
    with serving() as served, served.connect(requests) as client:
        answers, bodies = client.makefile("rb"), []
        for _ in range(5):
            while answers.readline() != b"\r\n":
                pass
            bodies.append(answers.read(1))
    assert bodies == [b"0", b"1", b"2", b"3", b"4"]


def test_headers_after_a_body_are_refused_however_many_follow() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with serving() as served, served.connect(head + b"a: b\r\n" * 1000) as client:
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 400")
        assert is_answered(served)


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: 6, 6",
        "Content-Length: +6",
        "Content-Length : 6",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:\x0bchunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
    ],
)
def test_a_request_whose_end_can_be_read_in_two_ways_is_refused(framing: str) -> None:
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n0\r\n\r\nG"
    with serving() as served, served.connect(head.encode()) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 400")
        assert served.requests() == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("framing", ["Content-Length: 60", "Transfer-Encoding: chunked"])
def test_the_body_of_a_request_for_another_protocol_is_never_taken_for_a_request(method: str, framing: str) -> None:
    head = f"{method} / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n{framing}\r\n\r\n"
    with serving() as served, served.connect(head.encode()) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 400")
        with contextlib.suppress(OSError):
            client.sendall(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(4096) == b""
        assert served.requests() == 0


@pytest.mark.parametrize("more", ["", "Content-Length: 0\r\n"])
def test_a_request_for_another_protocol_without_a_body_is_answered_like_any(more: str) -> None:
    head = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{more}\r\n"
    with serving() as served, served.connect(head.encode()) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
