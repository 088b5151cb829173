"""Time limits and bounds for connections, so that slow and greedy clients cost the others nothing.

uvicorn ends idle connections only, until their next byte. Here each connection that waits for its client has a deadline, and
when there are too many, the one that has waited longest is closed to make room: of the same client first, then of all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MAX_HEAD_SECONDS = 10.0  # for a client to send a complete head: from the start, or from the previous response
MAX_BODY_WAIT_SECONDS = 40.0  # to send a complete body; the middleware answers 408 before that
MAX_STALL_SECONDS = 60.0  # to read more of a response
MAX_HEAD_BYTES = 64 * 1024
MAX_PIPELINED_REQUESTS = 8  # that wait for earlier responses on a connection; the parser reads all it is given
MAX_CONNECTIONS = 1024  # of a process
MAX_DRAIN_SECONDS = 10  # for all connections to end when the server stops
_IDLE_SECONDS = 1.5  # of a connection when the server stops: a little more than the shipped proxies keep an unused one
_MIN_CONNECTIONS = 16
_RESERVED_FILES = 64  # open files that are no connections: the database, logs, libraries
_BODY_HEADERS = (b"content-length", b"transfer-encoding")
_IPV6_PREFIX = 64  # what one client usually has

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def choose_capacity() -> int:
    """How many connections a process may have: each may have another file open, which its response is read from."""
    if resource is None:
        return MAX_CONNECTIONS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(_MIN_CONNECTIONS, min(MAX_CONNECTIONS, (files - _RESERVED_FILES) // 2))


class ConnectionLimits:
    """The connections of one process. ``proxies`` are not bounded as clients, because each speaks for many."""

    def __init__(self, capacity: int, proxies: Sequence[Network] = ()) -> None:
        self._capacity = capacity
        self._most_per_client = max(1, capacity // 4)
        self._proxies = proxies
        self._clients: dict[str, set[LimitedProtocol]] = {}
        self._count = 0
        self.draining = False  # each response ends its connection

    def add(self, connection: LimitedProtocol) -> None:
        """Count a new connection, and close another (or this one) when there are too many."""
        own = self._clients.setdefault(connection.client_name, set())
        own.add(connection)
        self._count += 1
        if connection.client_name and len(own) > self._most_per_client:
            self._close_longest_waiting(own)
        elif self._count > self._capacity:
            self._close_longest_waiting(self._iterate())

    def discard(self, connection: LimitedProtocol) -> None:
        """Forget a connection that is closed. Forgetting it twice is harmless."""
        own = self._clients.get(connection.client_name, set())
        if connection in own:
            own.discard(connection)
            self._count -= 1
        if not own:
            self._clients.pop(connection.client_name, None)

    async def close_late(self) -> None:
        """Close the connections whose deadline is past. uvicorn calls it once a second, and waits for it."""
        now = asyncio.get_running_loop().time()
        for connection in [one for one in self._iterate() if one.deadline <= now]:
            connection.end_wait()

    def _close_longest_waiting(self, connections: Iterable[LimitedProtocol]) -> None:
        """Close the connection that has waited longest for its client. The new one waits too, so there always is one."""
        found = min(connections, key=lambda one: one.waiting_since)
        self.discard(found)
        found.transport.abort()

    def _iterate(self) -> Iterable[LimitedProtocol]:
        return (one for connections in self._clients.values() for one in connections)

    def name_client(self, address: str) -> str:
        """The network that counts as one client; '' for a trusted proxy or an unknown address, which are not bounded."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(found, ipaddress.IPv6Address):
            found = found.ipv4_mapped or found
        if any(found in network for network in self._proxies):
            return ""
        return str(ipaddress.ip_network(f"{found}/{_IPV6_PREFIX}", strict=False)) if found.version == 6 else str(found)


class LimitedProtocol(HttpToolsProtocol):
    """One connection. ``waiting_since`` and ``deadline`` are infinite while the server works on a response."""

    def __init__(
        self,
        limits: ConnectionLimits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self.client_name = ""
        self._head_ended = self._in_body = False
        self._head_bytes = 0
        self._unsent = math.inf  # bytes that the client had not read when its deadline was last looked at
        self.waiting_since = self.deadline = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._wait(MAX_HEAD_SECONDS)
        self.client_name = self._limits.name_client(self.client[0] if self.client else "")
        self._limits.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection's place."""
        self._limits.discard(self)
        self._work()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; refuse a head that is too large."""
        reads_head, self._head_ended = not self._in_body, False
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if reads_head and not self._head_ended else 0
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is larger than 64 KB.")

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that cannot be read in the shape of the API's errors, which people can read too."""
        body = json.dumps({"code": "bad_request", "detail": msg, "metadata": {}}).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[400] + head + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        """Refuse a client that sends requests without waiting for responses. Raises ValueError, which the parser reports."""
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            raise ValueError("too many pipelined requests")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse headers after a body. Raises ValueError, which the parser reports."""
        if self._in_body:
            raise ValueError("trailers are not read")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to wait for the body. Raises ValueError, which the parser reports, for a body that it would not read.

        The parser ends a request that asks for another protocol at its head, and takes the body for the client's next request:
        behind a proxy, for one that the proxy never saw.
        """
        if self.parser.should_upgrade() and any(name in _BODY_HEADERS and value != b"0" for name, value in self.headers):
            raise ValueError("a request for another protocol has a body")
        self._head_ended = self._in_body = True
        self._wait(MAX_BODY_WAIT_SECONDS)
        super().on_headers_complete()
        if self._limits.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Wait for the response, or for the next head when the response was sent before the whole body came."""
        super().on_message_complete()
        self._in_body = False
        if self.cycle.response_complete:
            self._wait(MAX_HEAD_SECONDS)
        else:
            self._work()

    def on_response_complete(self) -> None:
        """Start to wait for the next head, unless another request is already here."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._wait(MAX_HEAD_SECONDS)

    def pause_writing(self) -> None:
        """Start to wait for the client to read."""
        super().pause_writing()
        self._wait(MAX_STALL_SECONDS)

    def resume_writing(self) -> None:
        """Go on with the response, or wait for the next head."""
        super().resume_writing()
        if self.cycle and not self.cycle.response_complete:
            self._work()

    def shutdown(self) -> None:
        """End the connection when the server stops, never under a request that is on its way.

        A proxy repeats no POST whose connection was closed, because it cannot know whether the request was read; a client that
        has just connected repeats nothing. So each response says that its connection ends, and what a proxy does not use, it
        closes itself.
        """
        self._limits.draining = True
        if self.cycle and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        self.loop.call_later(_IDLE_SECONDS, self._end_unused)

    def _end_unused(self) -> None:
        if not self._head_bytes and math.isfinite(self.waiting_since) and not self._in_body:
            self.transport.close()

    def end_wait(self) -> None:
        """Close the connection, unless its client has read something since the last call."""
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._unsent, self.deadline = unsent, self.loop.time() + MAX_STALL_SECONDS
        elif unsent:
            self.transport.abort()
        else:
            self.transport.close()

    def _wait(self, seconds: float) -> None:
        self.waiting_since, self._unsent = self.loop.time(), math.inf
        self.deadline = self.waiting_since + seconds

    def _work(self) -> None:
        self.waiting_since = self.deadline = math.inf
