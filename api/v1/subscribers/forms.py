"""``/v1/forms``: the newsletter's one form. Its text is in git, under ``api/templates/``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from mailer.core import public_ids
from mailer.flows.subscribers import subscriber_query
from mailer.store.subscribers.subscriber_records import FIRST_SOURCE, Condition

router = APIRouter(prefix="/forms", tags=["Forms"])

_FROM_OUR_PAGES = Condition(f"{FIRST_SOURCE} IN ('form', 'page')", {})


@router.get("", responses=schemas.response("FormPage"))
def list_forms(
    context: Context,
    request: Request,
    page: paging.PageQuery,
    status: Annotated[list[str], Query()] = [],  # noqa: B006
    not_status: Annotated[list[str], Query()] = [],  # noqa: B006
    minus_status: Annotated[list[str], Query(alias="-status")] = [],  # noqa: B006
    admin: bool | None = None,
    ordering: str = "-creation_date",
) -> JSONResponse:
    """List forms.

    There is one form: the page at `/subscribe`.
    """
    shown = "active" not in not_status + minus_status and (not status or "active" in status) and admin is not True
    found = [_as_form(context)] if shown else []
    return paging.page_response(context, request, page, found[page.offset :], len(found))


@router.get("/{id}", responses=schemas.response("Form") | schemas.error_responses(404))
def retrieve_form(context: Context, id: str) -> JSONResponse:
    """Retrieve the form.

    The page at `/subscribe`, with the number of subscribers who used it.
    """
    if public_ids.number("form", id) != 1:
        raise_not_found("form")
    return JSONResponse(_as_form(context))


def _as_form(context: AppContext) -> dict[str, Any]:
    return {
        "id": public_ids.public("form", 1),
        "creation_date": "1970-01-01T00:00:00+00:00",
        "title": f"Subscribe to {context.site_name}",
        "slug": "subscribe",
        "body": "",
        "css": "",
        "success_body": "",
        "surveys": [],
        "tags": [],
        "admin": False,
        "status": "active",
        "subscriber_count": subscriber_query.count_subscribers(context.database, [_FROM_OUR_PAGES]),
        "confirmed_subscriber_count": subscriber_query.count_subscribers(
            context.database, [_FROM_OUR_PAGES, Condition("state = 'active'", {})]
        ),
        "page_view_count": 0,
    }
