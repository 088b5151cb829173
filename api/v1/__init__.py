"""The REST API under ``/v1``, shaped after Buttondown's: token keys, pages, one sentence for each error.

One module for each resource; ``door`` checks keys, ``shapes`` holds the contract's shapes, ``absent`` what is not here.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext
from api.v1.common import schemas
from api.v1.common.authentication import authenticate
from api.v1.common.rate_limit import RateLimiter
from api.v1.common.request_log import RequestLog, RequestLogMiddleware
from api.v1.operations import account, api_requests, exports, unsupported, users, webhooks
from api.v1.sending import archive_files, emails, events, publish, sends
from api.v1.subscribers import bulk_actions, forms, imports, notes, segments, stripe_subscriptions, subscribers, tags

_rest = APIRouter()


@_rest.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def raise_for_unknown_path(rest: str) -> Response:
    """Anything else under /v1."""
    raise HTTPException(404)


# In the order in which they are looked through: what is asked most comes first, what takes all the rest last.
_ROUTERS = (
    subscribers.router,
    account.router,
    tags.router,
    segments.router,
    notes.router,
    emails.router,
    events.router,
    forms.router,
    archive_files.router,
    users.router,
    api_requests.router,
    webhooks.router,
    bulk_actions.router,
    imports.router,
    exports.router,
    stripe_subscriptions.router,
    publish.router,
    sends.router,
    unsupported.router,
    _rest,
)


def include_routes(app: FastAPI) -> None:
    """Every route under ``/v1``. They lie flat in the app: each level of routers costs each request a search of its own."""
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1", dependencies=[Depends(authenticate)], responses=schemas.COMMON_RESPONSES)
    app.include_router(exports.download_router)


def install_api(app: FastAPI, context: AppContext | None = None) -> None:
    """What the API needs of the app: the pace of keys, the requests' log, and its description in the contract's shapes."""
    app.state.rate_limiter = RateLimiter()
    if context:
        app.state.requests = RequestLog(context)
        app.add_middleware(RequestLogMiddleware, log=app.state.requests)
    schemas.install_openapi(app)
