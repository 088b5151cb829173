"""``/v1/events``: what happened to emails, subscriber by subscriber."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from api.v1.sending.emails import as_emails
from api.v1.subscribers.subscribers import as_subscriber
from mailer.core import public_ids
from mailer.flows.operations import api_records
from mailer.flows.sending import issue_overview
from mailer.flows.subscribers import subscriber_admin

router = APIRouter(prefix="/events", tags=["Events"])

Kind = Literal["bounced", "clicked", "complained", "delivered", "opened", "rejected", "replied", "unsubscribed"]
Expand = Annotated[list[Literal["automation", "subscriber", "email"]], Query(max_length=3)]


async def _read_page(
    request: Request, page: paging.PageNumber = 1, page_size: paging.PageSize = 500, after: paging.Cursor = None
) -> paging.Page:
    return paging.build_page(request, page, page_size, after, most=5000)


EventPage = Annotated[paging.Page, Depends(_read_page)]


@router.get("", responses=schemas.response("EmailEventPage"))
def list_events(
    context: Context,
    request: Request,
    page: EventPage,
    event_type: Kind | None = None,
    ordering: Literal["creation_date", "-creation_date"] = "-creation_date",
    expand: Expand = [],  # noqa: B006
    email_id: Annotated[str | None, Query(max_length=300)] = None,
    automation_id: Annotated[str | None, Query(max_length=300)] = None,
    subscriber_id: Annotated[str | None, Query(max_length=300)] = None,
) -> JSONResponse:
    """List events.

    Newest first. Opens, clicks and replies are not tracked.
    """
    where: dict[str, Any] = {"event_type": event_type} if event_type else {}
    if automation_id is not None:
        where["id"] = -1
    if subscriber_id is not None:
        number = public_ids.number("sub", subscriber_id)
        where["subscriber_id"] = -1 if number is None else number
    if email_id is not None:
        where["send_id"] = api_records.list_send_ids(context.database, public_ids.number("em", email_id))
    paging.check_key(page, int)
    rows, count = api_records.list_events(context.database, where, page.range, ordering.startswith("-"))
    shown = paging.cut(page, rows, lambda row: row["id"])
    return paging.page_response(context, request, page, as_events(context, shown.rows, expand), count, shown.after)


@router.get("/{id}", responses=schemas.response("EmailEvent") | schemas.error_responses(404))
def get_event(context: Context, id: str, expand: Expand = []) -> JSONResponse:  # noqa: B006
    """Retrieve an event.

    Expand `subscriber` or `email` to include them.
    """
    row = api_records.get_event(context.database, id)
    return JSONResponse(as_events(context, [row], expand)[0]) if row else raise_not_found("event")


def as_events(context: AppContext, rows: Sequence[dict[str, Any]], expand: Sequence[str]) -> list[dict[str, Any]]:
    """Events in the contract's shape; one query for everything expanded."""
    made = [as_event(row) for row in rows]
    if "subscriber" in expand:
        found = subscriber_admin.find_subscribers(
            context.database, {row["subscriber_id"] for row in rows if row["subscriber_id"]}
        )
        shown = {number: as_subscriber(one) for number, one in found.items()}
        for event, row in zip(made, rows, strict=True):
            if row["subscriber_id"]:
                event["subscriber"] = shown.get(row["subscriber_id"])
    if "email" in expand:
        known = issue_overview.find_by_keys(context.database, {row["issue_key"] for row in rows if row["issue_key"]})
        emails = dict(zip(known, as_emails(context, list(known.values())), strict=True))
        for event, row in zip(made, rows, strict=True):
            if row["issue_key"]:
                event["email"] = emails.get(row["issue_key"])
    return made


def as_event(row: dict[str, Any]) -> dict[str, Any]:
    """An event in the contract's shape, with nothing expanded."""
    return {
        "id": public_ids.public("emr", row["id"]),
        "creation_date": row["at"].isoformat(),
        "event_type": row["event_type"],
        "subscriber_id": public_ids.public("sub", row["subscriber_id"]) if row["subscriber_id"] else None,
        "email_id": public_ids.public("em", issue_overview.issue_number(row["issue_key"])) if row["issue_key"] else None,
        "automation_id": None,
        "metadata": {name: str(value) for name, value in row["facts"].items()},
    }
