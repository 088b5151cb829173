"""The REST API under ``/v1``, shaped after Buttondown's: token keys, pages, one sentence for each error.

One module for each resource; ``door`` checks keys, ``shapes`` holds the contract's shapes, ``absent`` what is not here.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.desk import Desk
from api.v1 import (
    absent,
    account,
    api_requests,
    bulk_actions,
    emails,
    events,
    files,
    forms,
    notes,
    publish,
    segments,
    sends,
    shapes,
    subscribers,
    tags,
    users,
    webhooks,
)
from api.v1.clean import OnlySigns
from api.v1.door import Pace, authorized
from api.v1.paging import OnlyKnown
from api.v1.request_log import Noted, RequestLog

router = APIRouter(prefix="/v1", dependencies=[Depends(authorized), OnlySigns, OnlyKnown], responses=shapes.ALWAYS)

for _one in (
    account,
    subscribers,
    tags,
    segments,
    notes,
    emails,
    events,
    forms,
    files,
    users,
    api_requests,
    webhooks,
    bulk_actions,
    publish,
    sends,
    absent,
):
    router.include_router(_one.router)


@router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def nothing(rest: str) -> Response:
    """Anything else under /v1."""
    raise HTTPException(404)


def install(app: FastAPI, desk: Desk | None = None) -> None:
    """What the API needs of the app: the pace of keys, the requests' log, and its description in the contract's shapes."""
    app.state.pace = Pace()
    if desk:
        app.state.requests = RequestLog(desk)
        app.add_middleware(Noted, log=app.state.requests)
    shapes.describe(app)
