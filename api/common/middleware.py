"""The outermost layer: limits the size of bodies, answers HEAD like GET without a body, adds security headers.

An unexpected error is logged with its type and place, but without its message, which might contain an address.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailer.core import log

events = log.get("http")

MAX_BODY_BYTES = 64 * 1024  # of a request
_MAX_BYTES_BY_PREFIX = {"/v1/publish": 8 << 20, "/v1/imports": 32 << 20, "/webhooks/ses": 300 << 10}  # by prefix of the path
MAX_LENGTH_DIGITS = 18  # of a Content-Length header
_MAX_BODY_SECONDS = 30.0  # to receive a body
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Content-Security-Policy": "frame-ancestors 'none'; object-src 'none'; base-uri 'self'",
}
_TLS = {"Strict-Transport-Security": "max-age=31536000"}


class HttpMiddleware:
    """ASGI middleware. ``problem(scope, status)`` creates the response when the app cannot; ``tls``: clients use HTTPS."""

    def __init__(self, app: ASGIApp, problem: Callable[[Scope, int], Response], tls: bool = False) -> None:
        self._app = app
        self._problem = problem
        self._headers = [(name.lower().encode(), value.encode()) for name, value in (_DEFAULTS | (_TLS if tls else {})).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = _ResponseSender(send, self._headers, with_body=scope["method"] != "HEAD")
        try:
            await self._answer(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            events.error("request.broke", error=type(error).__name__, place=f"{last.filename}:{last.lineno}")
            if not answer.started:
                await self._problem(scope, 500)(scope, receive, answer)

    async def _answer(self, scope: Scope, receive: Receive, answer: Send) -> None:
        try:
            body = await _receive_body(scope, receive)
        except TimeoutError:
            return await self._problem(scope, 408)(scope, receive, answer)
        if body is None:
            return await self._problem(scope, 413)(scope, receive, answer)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._app({**scope, "method": method}, _replay(body, receive), answer)


class _ResponseSender:
    """Passes messages on with default headers; knows whether the response has started."""

    def __init__(self, send: Send, defaults: Sequence[tuple[bytes, bytes]], with_body: bool) -> None:
        self._send = send
        self._defaults = defaults
        self._with_body = with_body
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            given = {name for name, _ in message["headers"]}
            more = [header for header in self._defaults if header[0] not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        elif not self._with_body:
            message = {**message, "body": b""}
        await self._send(message)


async def _receive_body(scope: Scope, receive: Receive) -> bytes | None:
    """The body as ``_read_body`` returns it; a GET without a declared body is not waited for. Raises TimeoutError."""
    announced = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
    if scope["method"] in ("GET", "HEAD") and not announced:
        return b""
    async with asyncio.timeout(_MAX_BODY_SECONDS):
        return await _read_body(scope, receive)


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """The complete body, or None when it is too large. Raises ClientDisconnect when the body is cut off."""
    most = next((size for path, size in _MAX_BYTES_BY_PREFIX.items() if scope["path"].startswith(path)), MAX_BODY_BYTES)
    length = Headers(scope=scope).get("content-length", "0")
    if length.isdecimal() and (len(length) > MAX_LENGTH_DIGITS or int(length) > most):
        return None
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            return None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
