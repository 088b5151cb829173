"""``/v1/forms``: the one form of this newsletter. Its words stand in git, under ``api/templates/``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import Desk, Here
from api.v1 import paging, schemas
from api.v1.errors import not_found
from mailer.core import public_ids
from mailer.flows.subscribers import subscriber_query
from mailer.store.subscribers.subscriber_admin import FIRST_SOURCE, Where

router = APIRouter(prefix="/forms", tags=["Forms"])

_OURS = Where(f"{FIRST_SOURCE} IN ('form', 'page')", {})


@router.get("", responses=schemas.answer("FormPage"))
def list_forms(
    desk: Here,
    request: Request,
    status: Annotated[list[str], Query()] = [],  # noqa: B006
    not_status: Annotated[list[str], Query(alias="-status")] = [],  # noqa: B006
    admin: bool | None = None,
    ordering: str = "-creation_date",
    page: paging.PageNumber = 1,
) -> JSONResponse:
    """The page at `/subscribe`."""
    shown = "active" not in not_status and (not status or "active" in status) and admin is not True
    found = [_form(desk)] if shown else []
    return paging.page(desk, request, paging.cut(found, page), len(found), page)


@router.get("/{id}", responses=schemas.answer("Form") | schemas.errors(404))
def get_form(desk: Here, id: str) -> JSONResponse:
    """The page at `/subscribe`."""
    if public_ids.number("form", id) != 1:
        not_found("form")
    return JSONResponse(_form(desk))


def _form(desk: Desk) -> dict[str, Any]:
    return {
        "id": public_ids.public("form", 1),
        "creation_date": "1970-01-01T00:00:00+00:00",
        "title": f"Subscribe to {desk.site_name}",
        "slug": "subscribe",
        "body": "",
        "css": "",
        "success_body": "",
        "surveys": [],
        "tags": [],
        "admin": False,
        "status": "active",
        "subscriber_count": subscriber_query.count(desk.database, [_OURS]),
        "confirmed_subscriber_count": subscriber_query.count(desk.database, [_OURS, Where("state = 'active'", {})]),
        "page_view_count": 0,
    }
