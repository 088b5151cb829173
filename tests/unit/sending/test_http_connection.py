"""Connections that are kept: what an answer may look like, and what happens when the other side lets go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mailer.transports.http_connection import HttpConnection, HttpPool, HttpResponse, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kind: a\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def met(serve: Serve, asks: int = 1, pause: float = 0.0, timeout: float = 0.5) -> tuple[list[HttpResponse | Exception], int]:
    """What so many requests one after the other bring, and how many connections that took."""
    connections = 0

    async def counted(incoming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await serve(incoming, writer)

    async def run() -> list[HttpResponse | Exception]:
        server = await asyncio.start_server(counted, "127.0.0.1", 0)
        pool = HttpPool("127.0.0.1", server.sockets[0].getsockname()[1], None, 1, timeout)
        found: list[HttpResponse | Exception] = []
        for _ in range(asks):
            try:
                found.append(await pool.ask(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"))
            except Exception as error:
                found.append(error)
            await asyncio.sleep(pause)
        server.close()
        return found

    return asyncio.run(run()), connections


def bodies(found: list[HttpResponse | Exception]) -> list[object]:
    return [(one.status, one.body) if isinstance(one, HttpResponse) else type(one) for one in found]


def says(*pieces: bytes, pause: float = 0.0, close: bool = False) -> Serve:
    async def serve(incoming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await incoming.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            if close:
                writer.close()
                return

    return serve


def test_a_connection_is_used_again_and_an_answer_may_come_in_pieces() -> None:
    found, connections = met(says(OK[:9], OK[9:30], OK[30:], pause=0.01), asks=3)
    assert bodies(found) == [(200, b"ok")] * 3
    assert connections == 1
    assert isinstance(found[0], HttpResponse)
    assert found[0].headers["x-kind"] == "a"


def test_an_announcement_is_not_the_answer() -> None:
    found, _ = met(says(b"HTTP/1.1 100 Continue\r\n\r\n", OK, pause=0.01))
    assert bodies(found) == [(200, b"ok")]


def test_a_connection_that_was_closed_between_two_requests_is_not_used_again() -> None:
    found, connections = met(says(OK, close=True), asks=3, pause=0.05)
    assert bodies(found) == [(200, b"ok")] * 3
    assert connections == 3


def test_bytes_that_nobody_asked_for_are_never_taken_for_the_next_answer() -> None:
    wrong = OK.replace(b"ok", b"no")
    found, connections = met(says(OK, b"", wrong, pause=0.05), asks=2, pause=0.2)
    assert bodies(found) == [(200, b"ok")] * 2
    assert connections == 2


def test_an_answer_that_is_cut_off_garbled_or_late_is_an_error() -> None:
    assert bodies(met(says(OK[:-1], close=True))[0]) == [ConnectionResetError]
    [garbled] = met(says(b"\x00\x01 nonsense\r\n\r\n"))[0]
    assert isinstance(garbled, Exception)
    assert bodies(met(says(OK[:20]), timeout=0.2)[0]) == [TimeoutError]


def test_where_nothing_listens_nothing_was_sent() -> None:
    with pytest.raises(Unreachable, match="ConnectionRefusedError"):
        asyncio.run(HttpPool("127.0.0.1", 1, None, 1, 1).ask(b""))


def test_a_connection_that_is_gone_refuses_at_once() -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(HttpConnection().ask(b"", 1))
