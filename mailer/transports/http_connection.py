"""Kept-alive HTTP/1.1 connections for many small concurrent requests on an asyncio loop; httptools parses the responses."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import cast

import httptools

_MAX_IDLE_SECONDS = 20.0  # seconds; the other side may be about to close an older connection
MAX_RESPONSE_BYTES = 16 << 20  # head and body; ten SQS messages are a tenth of it
_SEND_BUFFER_BYTES = 262_144  # bytes; a whole request is written in one call


class Unreachable(OSError):
    """No connection could be made, so nothing was sent; the message names the kind of error."""


@dataclass
class HttpResponse:
    """A response while it arrives; header names are in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    received: int = 0  # bytes
    complete: bool = False
    keep_alive: bool = False
    parser: httptools.HttpResponseParser | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle the parser's event."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Handle the parser's event."""
        self.body += data

    def on_message_complete(self) -> None:
        """Handle the parser's event. A response below 200 only announces the real one."""
        assert self.parser
        self.status = self.parser.get_status_code()
        self.complete = self.status >= 200
        self.keep_alive = self.parser.should_keep_alive()  # the parser forgets it afterwards
        if not self.complete:
            self.headers, self.body = {}, bytearray()


class HttpConnection(asyncio.Protocol):
    """One socket, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._response = HttpResponse()
        self._used = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Handle the loop's event."""
        self._transport = cast(asyncio.Transport, transport)
        plain = transport.get_extra_info("socket")
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Handle the loop's event."""
        if self._answer is None or self._response.parser is None:
            self.close()  # unsolicited data must not be taken for the next response
            return
        self._response.received += len(data)
        if self._response.received > MAX_RESPONSE_BYTES:
            self._fail(ConnectionResetError("the answer does not end"))
            return
        try:
            self._response.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
        if self._response.complete and self._answer and not self._answer.done():
            self._answer.set_result(self._response)

    def connection_lost(self, error: Exception | None) -> None:
        """Handle the loop's event."""
        self._transport = None
        self._fail(error or ConnectionResetError("closed before the answer was whole"))

    async def ask(self, request: bytes, seconds: float) -> HttpResponse:
        """Send one whole request and wait for its response. Raises OSError (also on a timeout) or httptools' errors: then
        the outcome is unknown, and the connection is closed."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            raise ConnectionResetError("closed before the request was written")
        self._answer = loop.create_future()
        self._response = HttpResponse()
        self._response.parser = httptools.HttpResponseParser(self._response)
        late = loop.call_later(seconds, self._fail, TimeoutError("no answer in time"))
        try:
            self._transport.write(request)
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            late.cancel()
            self._answer = self._response.parser = None
            self._used = time.monotonic()

    def is_fresh(self) -> bool:
        """May it be reused? Between two requests a readable socket means that the other side closed it."""
        if self._transport is None or self._transport.is_closing() or time.monotonic() - self._used > _MAX_IDLE_SECONDS:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the socket at once."""
        if self._transport:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)


class HttpPool:
    """Connections to one host, created on demand and reused, the last one first. Timeouts are in seconds.

    It belongs to the loop that calls it.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connect_timeout: float, read_timeout: float) -> None:
        self._place = (host, port, tls)
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._idle: list[HttpConnection] = []

    async def ask(self, request: bytes) -> HttpResponse:
        """Send one request once. Raises Unreachable if nothing was sent, else what ``HttpConnection.ask`` raises."""
        connection = await self._take()
        response = await connection.ask(request, self._read_timeout)
        if response.keep_alive:
            self._idle.append(connection)
        else:
            connection.close()
        return response

    async def _take(self) -> HttpConnection:
        while self._idle:
            kept = self._idle.pop()
            if kept.is_fresh():
                return kept
            kept.close()
        host, port, tls = self._place
        making = asyncio.get_running_loop().create_connection(
            HttpConnection, host, port, ssl=tls, server_hostname=host if tls else None
        )
        try:
            _, made = await asyncio.wait_for(making, self._connect_timeout)
        except OSError as error:
            raise Unreachable(type(error).__name__) from error
        return made
