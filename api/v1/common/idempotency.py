"""``Idempotency-Key``: a request repeated within a day gets the response of the first one, and does nothing.

It holds for every POST under ``/v1`` but publishing, which may be repeated anyway.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common.dependencies import AppContext
from api.common.error_responses import error_response
from api.common.middleware import replay_body
from mailer.flows.operations import idempotency
from mailer.flows.operations.idempotency import RequestIdentity

_HEADERS = ("Idempotency-Key", "X-Idempotency-Key")
_MAX_NAME_CHARS = 255
_NOT_FOR = "/v1/publish"
_CHANGES_RESULT = "X-Buttondown-Collision-Behavior"  # a header that changes what a request does
PARAMETERS: list[dict[str, Any]] = [
    {
        "name": _HEADERS[0],
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": _MAX_NAME_CHARS},
        "description": "A repetition of the request under the same key, within a day, gets the first response.",
    }
]


class IdempotencyMiddleware:
    """ASGI middleware: does a request's work at most once for its idempotency key."""

    def __init__(self, app: ASGIApp, context: AppContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = _find_name(scope) if applies_to(scope.get("method", ""), scope.get("path", "")) else ""
        state = scope.get("state", {})
        if not name or state.get("refusal") or not state.get("key"):
            return await self._app(scope, receive, send)
        body = await Request(scope, receive).body()
        response = await self._find_response(scope, name, body, state["key"].id)
        if isinstance(response, Response):
            return await response(scope, receive, send)
        kept = _KeptResponse(self._context, response, send)
        try:
            await self._app(scope, replay_body(body, receive), kept)
        except BaseException:
            await kept.forget()
            raise

    async def _find_response(self, scope: Scope, name: str, body: bytes, key_id: int) -> Response | RequestIdentity:
        """The response to a repeated or wrong request; for a first one, its identity."""
        if len(name) > _MAX_NAME_CHARS:
            sentence = f"The Idempotency-Key is too long: use at most {_MAX_NAME_CHARS} characters."
            return error_response(self._context, Request(scope), 400, sentence, "invalid_input")
        secrets, whole = self._context.settings.need_secrets(), _describe(scope, body)
        request, *former = (idempotency.identify_request(secret, key_id, name, whole) for secret in secrets)
        try:
            saved = await run_in_threadpool(idempotency.begin_request, self._context.database, request, former)
        except idempotency.IdempotencyConflict as error:
            refused = error_response(self._context, Request(scope), 409, str(error), "conflict")
            refused.headers["Retry-After"] = "2"
            return refused
        if saved is None:
            return request
        headers = {"Idempotency-Replayed": "true"}
        return Response(saved.body, saved.status or 500, headers, "application/json" if saved.body else None)


class _KeptResponse:
    """Passes a response on once it is stored; one that a retry may not get again (5xx, 429) is not stored."""

    def __init__(self, context: AppContext, request: RequestIdentity, send: Send) -> None:
        self._context = context
        self._request = request
        self._send = send
        self._messages: list[Message] = []
        self._is_settled = False

    async def __call__(self, message: Message) -> None:
        self._messages.append(message)
        if message["type"] != "http.response.body" or message.get("more_body"):
            return
        status = self._messages[0]["status"]
        if status >= 500 or status == 429:
            await self.forget()
        else:
            body = b"".join(part.get("body", b"") for part in self._messages[1:]).decode()
            self._is_settled = True
            await run_in_threadpool(idempotency.save_response, self._context.database, self._request, status, body)
        for one in self._messages:
            await self._send(one)

    async def forget(self) -> None:
        """Free the idempotency key, unless its response is stored."""
        if not self._is_settled:
            self._is_settled = True
            await run_in_threadpool(idempotency.forget_request, self._context.database, self._request)


def applies_to(method: str, path: str) -> bool:
    """Whether an idempotency key means something to an operation."""
    return method == "POST" and path.startswith("/v1/") and not path.startswith(_NOT_FOR)


def _find_name(scope: Scope) -> str:
    """The idempotency key that a request has, '' for none."""
    headers = Headers(scope=scope)
    return next((name for header in _HEADERS if (name := headers.get(header, "").strip())), "")


def _describe(scope: Scope, body: bytes) -> bytes:
    """All that makes two requests the same: not the boundary of a form with files, which is new in each attempt."""
    headers = Headers(scope=scope)
    boundary = headers.get("Content-Type", "").partition("boundary=")[2].partition(";")[0].strip('" ').encode()
    parts = (scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers.get(_CHANGES_RESULT, ""))
    return " ".join(parts).encode() + b"\n" + (body.replace(boundary, b"") if boundary else body)
