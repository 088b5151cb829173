"""``/v1/events``: what became of mails, reader by reader."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api.desk import Desk, Here
from api.v1 import paging, shapes
from api.v1.emails import as_emails
from api.v1.errors import not_found
from api.v1.subscribers import as_subscriber
from mailer import public_ids
from mailer.flows import mails, members, records

router = APIRouter(prefix="/events", tags=["Events"])

Kind = Literal["bounced", "clicked", "complained", "delivered", "opened", "rejected", "replied", "unsubscribed"]
Expand = Annotated[list[Literal["automation", "subscriber", "email"]], Query(max_length=3)]


@router.get("", responses=shapes.answer("EmailEventPage"))
def list_events(
    desk: Here,
    request: Request,
    event_type: Kind | None = None,
    ordering: Literal["creation_date", "-creation_date"] = "-creation_date",
    expand: Expand = [],  # noqa: B006
    email_id: Annotated[str | None, Query(max_length=300)] = None,
    automation_id: Annotated[str | None, Query(max_length=300)] = None,
    subscriber_id: Annotated[str | None, Query(max_length=300)] = None,
    page_size: Annotated[int, Query(ge=1, le=5000)] = 500,
    page: paging.PageNumber = 1,
    after: Annotated[str | None, Query(max_length=50, description="Part of `next`: the last event before.")] = None,
) -> JSONResponse:
    """Events, the newest first. Opens, clicks and replies are not measured: there are none."""
    where: dict[str, Any] = {"event_type": event_type} if event_type else {}
    if automation_id is not None:
        where["id"] = -1
    if subscriber_id is not None:
        number = public_ids.number("sub", subscriber_id)
        where["subscriber_id"] = -1 if number is None else number
    if email_id is not None:
        where["send_id"] = records.sends_of(desk.database, public_ids.number("em", email_id))
    rows, count = records.events(desk.database, where, page, page_size, after, ordering.startswith("-"))
    results = [as_event(desk, row, expand) for row in rows]
    return paging.page(desk, request, results, count, page, page_size, results[-1]["id"] if results else None)


@router.get("/{id}", responses=shapes.answer("EmailEvent") | shapes.errors(404))
def get_event(desk: Here, id: str, expand: Expand = []) -> JSONResponse:  # noqa: B006
    """One event."""
    row = records.event(desk.database, id)
    return JSONResponse(as_event(desk, row, expand)) if row else not_found("event")


def as_event(desk: Desk, row: dict[str, Any], expand: list[Any]) -> dict[str, Any]:
    """An event in the contract's shape."""
    made: dict[str, Any] = {
        "id": public_ids.public("emr", row["id"]),
        "creation_date": row["at"].isoformat(),
        "event_type": row["event_type"],
        "subscriber_id": public_ids.public("sub", row["subscriber_id"]) if row["subscriber_id"] else None,
        "email_id": public_ids.public("em", mails.number(row["issue_key"])) if row["issue_key"] else None,
        "automation_id": None,
        "metadata": {name: str(value) for name, value in row["facts"].items()},
    }
    if "subscriber" in expand and row["subscriber_id"]:
        found = members.find(desk.database, str(row["subscriber_id"]))
        made["subscriber"] = as_subscriber(found) if found else None
    if "email" in expand and row["issue_key"]:
        mail = mails.find(desk.database, row["issue_key"])
        made["email"] = as_emails(desk, [mail])[0] if mail else None
    return made
