"""The outermost layer: checks hosts, limits bodies, answers HEAD like GET without a body, adds security headers.

An unexpected error is logged with its type and place, but without its message, which might contain an address.
"""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import IO, Any

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common.hosts import has_known_host
from mailer.core import log
from mailer.exchange.site_preview import MAX_PREVIEW_BYTES

logger = log.get("http")

MAX_BODY_BYTES = 64 * 1024  # of a request
_MAX_BYTES_BY_PREFIX = {  # by prefix of the path
    "/v1/publish": 8 << 20, "/v1/emails": 1 << 20, "/v1/images": 11 << 20, "/v1/imports": 32 << 20,
    "/v1/previews": MAX_PREVIEW_BYTES, "/webhooks/ses": 300 << 10,
}  # fmt: skip
MAX_LENGTH_DIGITS = 18  # of a Content-Length header
MAX_BODIES_ON_DISK = 16  # at once, of a process: being received or waiting to be processed
_MAX_BODIES_IN_MEMORY = 2  # at once, of a process, of those that are larger than _MAX_BODY_BYTES_IN_MEMORY
_MAX_BODY_BYTES_IN_MEMORY = 1 << 20  # of a body that is being received
_MAX_BODY_SECONDS = 30.0  # to receive a body
# They say nothing about anybody, and load balancers ask for them by IP address
_ANY_HOST = frozenset({"/health", "/health/live", "/health/ready"})
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Content-Security-Policy": "frame-ancestors 'none'; object-src 'none'; base-uri 'self'",
}
_REQUEST_ID = b"x-request-id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TLS = {"Strict-Transport-Security": "max-age=31536000"}
_API = (b"cache-control", b"no-store")  # a cache that ignores that requests have a key would give answers to strangers


@dataclass(frozen=True)
class HttpPolicy:
    """What the middleware needs of the app.

    ``problem(scope, status)`` creates the response when the app cannot. ``admit(scope)`` says whether a request's body is worth
    reading; if not, the app gets an empty one and refuses the request. ``hosts`` are the names that the app answers to.
    ``tls``: clients use HTTPS. ``preview_host`` is a name at which there are previews of sites and nothing else, or empty.
    """

    problem: Callable[[Scope, int], Response]
    admit: Callable[[Scope], Awaitable[bool]]
    hosts: Collection[str]
    tls: bool = False
    preview_host: str = ""


class HttpMiddleware:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, policy: HttpPolicy) -> None:
        self._app = app
        self._policy = policy
        self._problem = policy.problem
        defaults = _DEFAULTS | (_TLS if policy.tls else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in defaults.items()]
        self._bodies_on_disk = 0
        self._memory = asyncio.Semaphore(_MAX_BODIES_IN_MEMORY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = _read_request_id(scope) or secrets.token_hex(8)
        headers = [*self._headers, _API] if scope["path"].startswith("/v1/") else self._headers
        headers = [*headers, (_REQUEST_ID, request_id.encode())]
        answer = _ResponseSender(send, headers, scope.setdefault("state", {}), with_body=scope["method"] != "HEAD")
        with structlog.contextvars.bound_contextvars(request=request_id):
            await self._answer_or_log(scope, receive, answer)

    async def _answer_or_log(self, scope: Scope, receive: Receive, answer: _ResponseSender) -> None:
        try:
            await self._answer(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            logger.error("request.broke", error=type(error).__name__, place=f"{last.filename}:{last.lineno}")
            if not answer.started:
                await self._problem(scope, 500)(scope, receive, answer)

    async def _answer(self, scope: Scope, receive: Receive, answer: Send) -> None:
        if scope["path"] not in _ANY_HOST and not has_known_host(scope, self._policy.hosts):
            return await self._problem(scope, 421)(scope, receive, answer)
        preview_host = self._policy.preview_host
        if preview_host and not scope["path"].startswith("/previews/") and has_known_host(scope, {preview_host}):
            return await self._problem(scope, 404)(scope, receive, answer)
        if not _has_body(scope) or not await self._policy.admit(scope):
            return await self._pass_on(scope, b"", receive, answer)
        if not _may_be_large(scope):
            return await self._answer_body(scope, receive, answer)
        if self._bodies_on_disk >= MAX_BODIES_ON_DISK:
            return await self._problem(scope, 503)(scope, receive, answer)
        self._bodies_on_disk += 1
        try:
            await self._answer_body(scope, receive, answer)
        finally:
            self._bodies_on_disk -= 1

    async def _answer_body(self, scope: Scope, receive: Receive, answer: Send) -> None:
        with tempfile.SpooledTemporaryFile(_MAX_BODY_BYTES_IN_MEMORY) if _may_be_large(scope) else io.BytesIO() as file:
            try:
                async with asyncio.timeout(_MAX_BODY_SECONDS):
                    size = await _receive_body(scope, receive, file)
            except TimeoutError:
                return await self._problem(scope, 408)(scope, receive, answer)
            if size is None:
                return await self._problem(scope, 413)(scope, receive, answer)
            async with self._memory if size > _MAX_BODY_BYTES_IN_MEMORY else nullcontext():
                file.seek(0)
                await self._pass_on(scope, file.read(), receive, answer)

    async def _pass_on(self, scope: Scope, body: bytes, receive: Receive, answer: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._app({**scope, "method": method}, replay_body(body, receive), answer)


class _ResponseSender:
    """Passes messages on with default headers and those of ``state["headers"]``; knows whether the response has started."""

    def __init__(self, send: Send, defaults: Sequence[tuple[bytes, bytes]], state: dict[str, Any], with_body: bool) -> None:
        self._send = send
        self._defaults = defaults
        self._state = state
        self._with_body = with_body
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            given = {name for name, _ in message["headers"]}
            more = [header for header in self._defaults if header[0] not in given]
            message = {**message, "headers": [*message["headers"], *more, *self._state.get("headers", ())]}
        elif not self._with_body:
            message = {**message, "body": b""}
        await self._send(message)


def _read_request_id(scope: Scope) -> str:
    """The request's id as a proxy set it, if it can be one; else ''."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _REQUEST_ID), "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else ""


def _has_body(scope: Scope) -> bool:
    """Whether a body may come: a GET without a declared body is not waited for."""
    announced = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
    return announced or scope["method"] not in ("GET", "HEAD")


def _max_body_bytes(scope: Scope) -> int:
    return next((size for path, size in _MAX_BYTES_BY_PREFIX.items() if scope["path"].startswith(path)), MAX_BODY_BYTES)


def _may_be_large(scope: Scope) -> bool:
    """Whether a body may exceed what is kept in memory. The server reads no more of one than its Content-Length."""
    length = Headers(scope=scope).get("content-length", "")
    is_short = length.isdecimal() and len(length) <= MAX_LENGTH_DIGITS and int(length) <= _MAX_BODY_BYTES_IN_MEMORY
    return _max_body_bytes(scope) > _MAX_BODY_BYTES_IN_MEMORY and not is_short


async def _receive_body(scope: Scope, receive: Receive, file: IO[bytes]) -> int | None:
    """Write the body to a file; its size, or None when it is too large. Raises ClientDisconnect when it is cut off."""
    most = _max_body_bytes(scope)
    length = Headers(scope=scope).get("content-length", "0")
    if length.isdecimal() and (len(length) > MAX_LENGTH_DIGITS or int(length) > most):
        return None
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        size += file.write(message.get("body", b""))
        more = message.get("more_body", False)
        if size > most:
            return None
    return size


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A channel that delivers a body which was read already, then whatever ``receive`` does."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
