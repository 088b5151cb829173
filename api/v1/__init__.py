"""The REST API under ``/v1``, shaped after Buttondown's: token keys, pages, one sentence for each error.

One module for each resource; ``door`` checks keys, ``shapes`` holds the contract's shapes, ``absent`` what is not here.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.common.dependencies import Desk
from api.v1 import (
    account,
    api_requests,
    bulk_actions,
    emails,
    events,
    exports,
    files,
    forms,
    imports,
    notes,
    publish,
    schemas,
    segments,
    sends,
    subscribers,
    subscriptions,
    tags,
    unsupported,
    users,
    webhooks,
)
from api.v1.authentication import may_enter
from api.v1.rate_limit import Pace
from api.v1.request_log import Noted, RequestLog

_rest = APIRouter()


@_rest.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def nothing(rest: str) -> Response:
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
    files.router,
    users.router,
    api_requests.router,
    webhooks.router,
    bulk_actions.router,
    imports.router,
    exports.router,
    subscriptions.router,
    publish.router,
    sends.router,
    unsupported.router,
    _rest,
)


def include(app: FastAPI) -> None:
    """Every route under ``/v1``. They lie flat in the app: each level of routers costs each request a search of its own."""
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1", dependencies=[Depends(may_enter)], responses=schemas.ALWAYS)
    app.include_router(exports.files)


def install(app: FastAPI, desk: Desk | None = None) -> None:
    """What the API needs of the app: the pace of keys, the requests' log, and its description in the contract's shapes."""
    app.state.pace = Pace()
    if desk:
        app.state.requests = RequestLog(desk)
        app.add_middleware(Noted, log=app.state.requests)
    schemas.describe(app)
