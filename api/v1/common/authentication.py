"""Authentication: API keys, what each scope allows, and rate limits."""

from __future__ import annotations

import re
import time
from binascii import crc32

from fastapi import Request
from starlette.types import Scope

from api.common.dependencies import client_ip
from api.v1.common.errors import ApiError
from api.v1.common.paging import refuse_unknown_parameters
from api.v1.common.rate_limit import RequestAllowance, RequestRateLimiter
from api.v1.common.request_validation import refuse_unstorable_text
from mailer.core.errors import PostmergeError
from mailer.flows.operations.api_keys import check_key
from mailer.flows.subscribers.signup_limits import get_network

# For the OpenAPI description. As a dependency of the framework, reading the header costs more than checking the key.
SECURITY_SCHEME = {
    "APIKeyHeader": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Token KEY`; `postmerge keys create NAME` creates a key.",
    }
}

MAX_STRANGERS_REQUESTS = 1200  # a minute, of one network, without a valid key
# What each scope may write, by the first word of the path. A word that is not listed needs ``admin``.
_WRITES = {
    "subscribers": {"subscribers", "tags", "segments", "notes", "bulk_actions", "imports", "exports"},
    "publish": {"publish", "test_emails", "previews"},
}
_HELD_IN_GIT = {"attachments", "snippets", "automations", "forms", "newsletters"}  # read-only for every key
_PRIVATE = {"users", "api_requests", "webhooks"}  # readable with ``admin`` only
_PUBLISHERS = {"ping", "permissions", "publish", "previews", "sends"}  # all that ``publish`` may use
_REVIEWERS = {
    "ping",
    "permissions",
    "publish/missing",
    "publish/editions",
    "publish/plan",
    "previews",
    "test_emails",
}  # what ``review`` may use
_SEND_DRAFT = re.compile(r"emails/[^/]+/send-draft")  # for ``review`` and ``admin``: it sends to reviewers alone


async def authenticate(request: Request) -> None:
    """Check the key, the rate limit, the scope and the text of a request: one dependency, because each costs time."""
    await authorize(request)
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
        await authorize(request)
    except (ApiError, PostmergeError) as error:
        request.state.refusal = error
        return False
    return True


async def authorize(request: Request) -> None:
    """Store the key in the request's state. Raises ApiError 401 (no valid key), 403 (its scope) or 429 (its rate limit)."""
    if refusal := getattr(request.state, "refusal", None):
        raise refusal
    if getattr(request.state, "key", None):
        return  # checked before the body was read
    authorization = request.headers.get("authorization")
    if authorization is None and is_open(request.method, request.scope["path"]):
        return _count_stranger(request)
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "token" or not secret.strip():
        _count_stranger(request)
        raise ApiError(401, "authentication_missing", "An API key is required: send `Authorization: Token KEY`.")
    key = await check_key(request.app.state.context.asker, secret.strip())
    if key is None:
        _count_stranger(request)
        sentence = "This API key is invalid or has expired: `postmerge keys create NAME` creates one."
        raise ApiError(401, "authentication_invalid", sentence)
    request.state.key = key
    if key.per_minute > 0:
        limiter: RequestRateLimiter = request.app.state.rate_limiter
        _state_limit(request, key.per_minute, limiter.count_request(key.id, key.per_minute), "this key")
    path = request.scope["path"].removeprefix("/v1").strip("/")
    if not _is_always_refused(request, path):
        require_permission(request, request.method, path)


def require_permission(request: Request, method: str, path: str) -> None:
    """Raise ApiError 403 unless the scope of the request's key allows the method on a path (below ``/v1``)."""
    scope = request.state.key.scope
    if not is_allowed(scope, method, path):
        sentence = f"A key with the scope {scope} cannot do this: use one with {_needed_scope(method, path)}."
        raise ApiError(403, "forbidden", sentence)


def _count_stranger(request: Request) -> None:
    """Count a request without a valid key, with the others of its network. Raises ApiError 429 when they are too many."""
    if getattr(request.state, "headers", None):
        return  # counted before the body was read
    ip = client_ip(request) or ""
    allowance = request.app.state.stranger_limiter.count_request(
        crc32((get_network(ip) or ip).encode()), MAX_STRANGERS_REQUESTS
    )
    _state_limit(request, MAX_STRANGERS_REQUESTS, allowance, "requests without a valid key")


def _state_limit(request: Request, per_minute: int, allowance: RequestAllowance, whose: str) -> None:
    """Set the headers that state a rate limit. Raises ApiError 429 when it is exceeded."""
    limits = {"limit": per_minute, "remaining": allowance.remaining, "reset": int(time.time()) + allowance.reset}
    request.state.headers = [(f"x-ratelimit-{name}".encode(), str(value).encode()) for name, value in limits.items()]
    if allowance.wait:
        sentence = f"The rate limit of {whose} is exceeded: try again in {allowance.wait} s."
        raise ApiError(429, "rate_limited", sentence, retry=allowance.wait)


def is_open(method: str, path: str) -> bool:
    """Whether an operation needs no key, as in the contract."""
    return method in ("GET", "HEAD") and (path == "/v1/ping" or path.startswith("/v1/public/emails/"))


def is_blind(request: Request) -> bool:
    """Whether the request's key may learn nothing about subscribers, not even how many match a rule."""
    return not is_allowed(request.state.key.scope, "GET", "subscribers")


def is_allowed(scope: str, method: str, path: str) -> bool:
    """Whether a key with this scope may use the method on a path (below ``/v1``)."""
    word, _, rest = path.partition("/")
    if scope == "admin":
        return True
    if scope == "review":
        known = not _REVIEWERS.isdisjoint({word, f"{word}/{rest.partition('/')[0]}"})
        return known or bool(_SEND_DRAFT.fullmatch(path))
    if scope == "publish":
        return word in _PUBLISHERS
    if method in ("GET", "HEAD"):
        return word not in _PRIVATE and word not in _WRITES["publish"]
    return scope == "subscribers" and word in _WRITES["subscribers"]


def _is_always_refused(request: Request, path: str) -> bool:
    """Whether no key may do this: the answer names the file in git, and is the same for all."""
    word = path.partition("/")[0]
    has_repository = bool(request.app.state.context.settings.repository)
    drafts_too = word in ("emails", "images") and not has_repository and not _SEND_DRAFT.fullmatch(path)
    return (word in _HELD_IN_GIT or drafts_too) and request.method not in ("GET", "HEAD")


def _needed_scope(method: str, path: str) -> str:
    for scope in ("read", "subscribers", "publish", "review"):
        if is_allowed(scope, method, path):
            return f"{scope} or admin"
    return "admin"
