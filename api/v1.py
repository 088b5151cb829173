"""The REST API under ``/v1``, shaped after Buttondown's: token keys, pages, one sentence for each error."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn

from fastapi import APIRouter, Depends, Query, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from api.desk import Desk, Here
from mailer import addresses
from mailer.errors import BadInput
from mailer.flows import readers, signup
from mailer.flows.keys import check_key
from mailer.flows.status import standing_facts, status
from mailer.store.readers import Reader

PAGE = 100  # rows
_TYPES = {"unconfirmed": "unactivated", "active": "regular", "left": "unsubscribed"}
_header = APIKeyHeader(
    name="Authorization", auto_error=False, description="`Token KEY`; `postmerge keys create NAME` makes one."
)


class ApiError(HTTPException):
    """An error with a code that programs can tell apart."""

    def __init__(self, status_code: int, code: str, detail: str) -> None:
        super().__init__(status_code, detail)
        self.code = code


def _authorized(desk: Here, authorization: Annotated[str | None, Security(_header)]) -> None:
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "token" or not key.strip():
        raise ApiError(401, "unauthorized", "A key is needed here: send it as `Authorization: Token KEY`.")
    if check_key(desk.database, key.strip()) is None:
        raise ApiError(401, "unauthorized", "This key does not hold: make one with `postmerge keys create NAME`.")


class ErrorMessage(BaseModel):
    """What is wrong: a code for programs, one sentence for people."""

    code: str
    detail: str


router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(_authorized)],
    responses={401: {"model": ErrorMessage}, 422: {"model": ErrorMessage}},
)
_REFUSED: dict[int | str, dict[str, Any]] = {400: {"model": ErrorMessage}}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorMessage}}


class Subscriber(BaseModel):
    """A reader. ``type`` is unactivated (not confirmed yet), regular, unsubscribed, undeliverable or complained."""

    id: str
    email_address: str
    type: str
    tags: list[str]
    source: str
    creation_date: datetime
    unsubscription_date: datetime | None


class SubscriberInput(BaseModel):
    """A reader to add. ``regular`` says that you have evidence that they asked; otherwise a confirmation mail asks them."""

    model_config = ConfigDict(extra="forbid")

    email_address: str = Field(max_length=254)
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=20)
    type: Literal["unactivated", "regular"] = "unactivated"


class SubscriberPage(BaseModel):
    """Some readers, the newest first."""

    results: list[Subscriber]
    count: int
    next: str | None
    previous: str | None


class Send(BaseModel):
    """A send with its deliveries counted by state; ``audience`` is None until it is frozen."""

    id: str
    issue: str
    edition: int
    digest: str
    state: str
    audience: int | None
    deliveries: dict[str, int]
    subject: str
    rule: str
    reason: str
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class SendPage(BaseModel):
    """Some sends, the newest first."""

    results: list[Send]
    count: int
    next: str | None
    previous: str | None


PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]


@router.get("/ping", tags=["Ping"])
def ping() -> dict[str, Any]:
    """Does the key hold?"""
    return {}


@router.get("/subscribers", tags=["Subscribers"], responses=_REFUSED)
def list_subscribers(desk: Here, request: Request, page: PageNumber = 1) -> SubscriberPage:
    """Readers, 100 a page."""
    _only(request, "page")
    found = readers.page(desk.database, page)
    links = _links(desk, "/v1/subscribers", page, found.count)
    return SubscriberPage(results=[_subscriber(one) for one in found.readers], count=found.count, **links)


@router.post("/subscribers", status_code=201, response_model=Subscriber, tags=["Subscribers"], responses=_REFUSED)
def create_subscriber(desk: Here, wish: SubscriberInput) -> Response:
    """Add a reader. One who is known, even as somebody who left, is refused and stays as they are."""
    email = _address(wish.email_address)
    if readers.find(desk.database, email):
        raise ApiError(400, "email_already_exists", "There is a subscriber with this address already.")
    _tags_are_plain(wish.tags)
    signup.add_subscriber(desk.database, desk.settings, email, wish.tags, wish.type == "regular", source="api")
    added = readers.find(desk.database, email)
    if added is None:
        raise ApiError(400, "subscriber_suppressed", "This address bounced or complained and is not mailed.")
    body = _subscriber(added).model_dump(mode="json")
    return JSONResponse(body, 201, background=BackgroundTask(desk.ring))


@router.get("/subscribers/{id_or_email}", tags=["Subscribers"], responses=_MISSING)
def get_subscriber(desk: Here, id_or_email: str) -> Subscriber:
    """One reader, by id or address."""
    found = readers.find(desk.database, id_or_email)
    return _subscriber(found) if found else _not_found("subscriber")


@router.get("/sends", tags=["Sends"], responses=_REFUSED)
def list_sends(desk: Here, request: Request, page: PageNumber = 1) -> SendPage:
    """Sends with what became of their deliveries, 100 a page."""
    _only(request, "page")
    found = [_send(standing_facts(one)) for one in status(desk.database)]
    shown = found[PAGE * (page - 1) : PAGE * page]
    return SendPage(results=shown, count=len(found), **_links(desk, "/v1/sends", page, len(found)))


@router.get("/sends/{id_or_issue}", tags=["Sends"], responses=_MISSING)
def get_send(desk: Here, id_or_issue: str) -> Send:
    """One send, by its id, or the newest of an issue by the issue's key."""
    try:
        return _send(standing_facts(status(desk.database, id_or_issue)[0]))
    except BadInput:
        return _not_found("send")


@router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def nothing(rest: str) -> Response:
    """Anything else under /v1."""
    raise HTTPException(404)


def _subscriber(reader: Reader) -> Subscriber:
    bounced = "complained" if reader.suppressed == "complaint" else "undeliverable"
    return Subscriber(
        id=str(reader.id),
        email_address=reader.email,
        type=bounced if reader.suppressed else _TYPES[reader.state],
        tags=reader.tags,
        source=reader.source,
        creation_date=reader.created_at,
        unsubscription_date=reader.left_at,
    )


def _send(facts: dict[str, Any]) -> Send:
    return Send(**{**facts, "id": str(facts["id"])})


def _links(desk: Desk, path: str, page: int, count: int) -> dict[str, str | None]:
    base = f"{desk.settings.api_url}{path}?page="
    return {
        "next": f"{base}{page + 1}" if page * PAGE < count else None,
        "previous": f"{base}{page - 1}" if page > 1 else None,
    }


def _only(request: Request, *known: str) -> None:
    """A filter that is not known would silently be no filter."""
    for name in request.query_params:
        if name not in known:
            raise ApiError(400, "invalid_input", f"The parameter {name[:50]!r} is not known here: leave it out.")


def _address(email: str) -> str:
    try:
        return addresses.check(email)
    except BadInput as error:
        raise ApiError(400, "email_invalid", str(error)) from error


def _tags_are_plain(tags: list[str]) -> None:
    if not all(tag.strip() and tag.isprintable() for tag in tags):
        raise ApiError(400, "tag_invalid", "A tag holds signs that cannot be read: use letters, digits and plain signs.")


def _not_found(what: str) -> NoReturn:
    raise ApiError(404, "not_found", f"There is no such {what}.")
