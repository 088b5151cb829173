"""``ETag``, ``If-None-Match`` and ``If-Match``: a client does not overwrite what somebody else changed meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common.dependencies import AppContext
from api.common.error_responses import error_response
from mailer.flows.operations import api_records

PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "The `ETag` of an earlier response: if the resource was changed meanwhile, the response is 412.",
    }
]


class EntityTagMiddleware:
    """ASGI middleware: adds an ETag to what GET and PATCH respond with, and compares those that a request has."""

    def __init__(self, app: ASGIApp, context: AppContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "PATCH") or not scope["path"].startswith("/v1/"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        wanted = headers.get("If-Match", "").strip() or "*"
        if scope["method"] == "GET" or wanted == "*" or not scope.get("state", {}).get("key"):
            known = headers.get("If-None-Match", "") if scope["method"] == "GET" else ""
            return await self._app(scope, receive, _TaggedResponse(send, _split_tags(known)))
        async with contextmanager_in_threadpool(self._hold(scope["path"])) as is_free:
            if not is_free or not await self._is_current(scope, _split_tags(wanted)):
                sentence = "This was changed meanwhile: retrieve it again, and repeat your change with its new ETag."
                refused = error_response(self._context, Request(scope), 412, sentence, "precondition_failed")
                return await refused(scope, receive, send)
            await self._app(scope, receive, _TaggedResponse(send, frozenset()))

    @contextmanager
    def _hold(self, path: str) -> Iterator[bool]:
        with api_records.hold_resource(self._context.database, path) as is_free:
            yield is_free

    async def _is_current(self, scope: Scope, tags: frozenset[str]) -> bool:
        """Whether the resource has one of these tags now; also True when it cannot be retrieved, which the change finds out."""
        found: list[Message] = []

        async def keep(message: Message) -> None:
            found.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        asked = {**scope, "method": "GET", "query_string": b"", "state": dict(scope["state"])}
        await self._app(asked, receive, _TaggedResponse(keep, frozenset()))
        now = Headers(raw=found[0]["headers"]).get("ETag")
        return found[0]["status"] != 200 or now in tags


class _TaggedResponse:
    """Passes a response on with its ETag, or 304 without a body when the client has it already."""

    def __init__(self, send: Send, known: frozenset[str]) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._start = message
            return
        if self._start is None:
            return await self._send(message)
        start, self._start = self._start, None
        if not message.get("more_body"):
            tag = f'"{hashlib.blake2b(message["body"], digest_size=12).hexdigest()}"'
            start = {**start, "headers": [*start["headers"], (b"etag", tag.encode())]}
            if tag in self._known:
                start = {**start, "status": 304, "headers": [one for one in start["headers"] if one[0] != b"content-length"]}
                message = {**message, "body": b""}
        await self._send(start)
        await self._send(message)


def _split_tags(text: str) -> frozenset[str]:
    """The tags of a header; a weak one is compared like a strong one."""
    return frozenset(one.strip().removeprefix("W/") for one in text.split(",") if one.strip())
