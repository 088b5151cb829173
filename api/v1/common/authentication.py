"""Authentication: API keys, what each scope allows, and rate limits."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader
from starlette.types import Scope

from api.v1.common.errors import ApiError
from api.v1.common.paging import refuse_unknown_parameters
from api.v1.common.request_validation import refuse_unstorable_text
from mailer.core.errors import PostmergeError
from mailer.flows.operations.api_keys import check_key

_header = APIKeyHeader(
    name="Authorization", auto_error=False, description="`Token KEY`; `postmerge keys create NAME` creates a key."
)

# What each scope may write, by the first word of the path. A word that is not listed needs ``admin``.
_WRITES = {
    "subscribers": {"subscribers", "tags", "segments", "notes", "bulk_actions", "imports", "exports"},
    "publish": {"publish"},
}
_PRIVATE = {"users", "api_requests", "webhooks"}  # readable with ``admin`` only
_PUBLISHERS = {"ping", "publish", "sends"}  # all that ``publish`` may use


async def authenticate(request: Request, authorization: Annotated[str | None, Security(_header)]) -> None:
    """Check the key, the rate limit, the scope and the text of a request: one dependency, because each costs time."""
    await authorize(request, authorization)
    await refuse_unstorable_text(request)
    refuse_unknown_parameters(request)


async def admit(scope: Scope) -> bool:
    """Whether a request's body is worth reading: under ``/v1``, only if its key allows the request.

    ``authorize`` raises the reason when the app gets to it.
    """
    if not scope["path"].startswith("/v1/"):
        return True
    request = Request(scope)
    try:
        await authorize(request, request.headers.get("authorization"))
    except (ApiError, PostmergeError) as error:
        request.state.refusal = error
        return False
    return True


async def authorize(request: Request, authorization: Annotated[str | None, Security(_header)]) -> None:
    """Store the key in the request's state. Raises ApiError 401 (no valid key), 403 (its scope) or 429 (its rate limit)."""
    if refusal := getattr(request.state, "refusal", None):
        raise refusal
    if getattr(request.state, "key", None):
        return  # checked before the body was read
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "token" or not secret.strip():
        raise ApiError(401, "unauthorized", "An API key is required: send `Authorization: Token KEY`.")
    key = await check_key(request.app.state.context.asker, secret.strip())
    if key is None:
        raise ApiError(401, "unauthorized", "This API key is invalid or has expired: `postmerge keys create NAME` creates one.")
    request.state.key = key
    if wait := request.app.state.rate_limiter.seconds_to_wait(key.id, key.per_minute):
        limits = {"Limit": key.per_minute, "Remaining": 0, "Reset": int(time.time()) + wait}
        headers = {f"X-RateLimit-{name}": str(value) for name, value in limits.items()}
        raise ApiError(
            429, "rate_limited", f"The rate limit of this key is exceeded: try again in {wait} s.", retry=wait, headers=headers
        )
    word = request.url.path.removeprefix("/v1").strip("/").partition("/")[0]
    if not is_allowed(key.scope, request.method, word):
        raise ApiError(
            403, "forbidden", f"A key with the scope {key.scope} cannot do this: use one with {_needed_scope(request, word)}."
        )


def is_blind(request: Request) -> bool:
    """Whether the request's key may learn nothing about subscribers, not even how many match a rule."""
    return not is_allowed(request.state.key.scope, "GET", "subscribers")


def is_allowed(scope: str, method: str, word: str) -> bool:
    """Whether a key with this scope may use the method on paths whose first word is ``word``."""
    if scope == "admin":
        return True
    if scope == "publish":
        return word in _PUBLISHERS
    if method in ("GET", "HEAD"):
        return word not in _PRIVATE and word not in _WRITES["publish"]
    return scope == "subscribers" and word in _WRITES["subscribers"]


def _needed_scope(request: Request, word: str) -> str:
    for scope in ("read", "subscribers", "publish"):
        if is_allowed(scope, request.method, word):
            return f"{scope} or admin"
    return "admin"
