"""One kept-alive HTTP/1.1 connection for many small requests: a socket, and httptools' parser for the answers."""

from __future__ import annotations

import select
import socket
import ssl
import time
from dataclasses import dataclass, field

import httptools

_MOST_IDLE = 20.0  # seconds; an older connection may have been closed by the other side just now
_SEND_BUFFER = 262_144  # bytes; a whole request leaves in one call


@dataclass
class Response:
    """An answer as it comes in; header names are in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    keep_alive: bool = False
    parser: httptools.HttpResponseParser | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self.body += data

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.complete = True
        self.keep_alive = self.parser is not None and self.parser.should_keep_alive()  # the parser forgets it right after


class Connection:
    """Raises OSError when it cannot be made; timeouts are in seconds. Not safe to share between threads at once."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connect_timeout: float, read_timeout: float) -> None:
        plain = socket.create_connection((host, port), connect_timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._socket = tls.wrap_socket(plain, server_hostname=host) if tls else plain
            self._socket.settimeout(read_timeout)
        except BaseException:
            plain.close()
            raise
        self._used = time.monotonic()

    def ask(self, request: bytes) -> Response:
        """Send one whole request and read its answer. Raises OSError or httptools' errors: then the outcome is unknown."""
        response = Response()
        parser = response.parser = httptools.HttpResponseParser(response)
        self._socket.sendall(request)
        while not response.complete:
            data = self._socket.recv(16_384)
            if not data:
                raise ConnectionResetError("closed before the answer was whole")
            parser.feed_data(data)
            if response.complete and parser.get_status_code() < 200:
                response.complete, response.headers, response.body = False, {}, b""
        response.status = parser.get_status_code()
        response.parser = None
        self._used = time.monotonic()
        return response

    def is_fresh(self) -> bool:
        """May it be used again? Between two requests a readable socket means that the other side closed it."""
        return time.monotonic() - self._used < _MOST_IDLE and not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
