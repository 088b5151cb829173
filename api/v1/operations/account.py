"""``ping``, ``accounts/me`` and ``newsletters``: this server and its newsletter."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError, raise_not_found
from mailer.core import public_ids
from mailer.core.characters import parse_sender
from mailer.core.i18n import local_time

router = APIRouter()


@router.get("/ping", tags=["Ping"], responses=schemas.response("Empty"))
def ping() -> JSONResponse:
    """Check that the server answers and, if there is a key, that it is valid.

    Returns an empty object. Needs no key.
    """
    return JSONResponse({})


@router.get("/accounts/me", tags=["Account"], responses=schemas.response("Account"))
def get_account(context: Context) -> JSONResponse:
    """Get the account.

    The newsletter's username and the address of its sender.
    """
    return JSONResponse({"username": get_username(context), "email_address": context.settings.mailbox})


@router.get("/newsletters", tags=["Newsletters"], responses=schemas.response("NewsletterPage"))
def list_newsletters(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
    """List newsletters.

    A server has exactly one newsletter.
    """
    return paging.page_response(context, request, page, [_newsletter(context)][page.offset :], 1)


@router.get("/newsletters/{id}", tags=["Newsletters"], responses=schemas.response("Newsletter") | schemas.error_responses(404))
def retrieve_newsletter(context: Context, id: str) -> JSONResponse:
    """Retrieve the newsletter.

    Its name, sender and domain, as configured on the server.
    """
    if public_ids.number("news", id) != 1:
        raise_not_found("newsletter")
    return JSONResponse(_newsletter(context))


def get_username(context: AppContext) -> str:
    """The newsletter's name in lower case, with hyphens."""
    word = "-".join("".join(sign if sign.isalnum() else " " for sign in context.site_name.lower()).split())
    return word or "newsletter"


def check_username(context: AppContext, given: str) -> None:
    """Raise ApiError 404 when this is another newsletter's username."""
    if given.lower() != get_username(context):
        raise ApiError(404, "not_found", "There is no such newsletter.")


def _newsletter(context: AppContext) -> dict[str, Any]:
    sender, address = context.settings.sender, context.settings.mailbox
    return {
        "id": public_ids.public("news", 1),
        "creation_date": "1970-01-01T00:00:00+00:00",
        "api_key": "00000000-0000-0000-0000-000000000000",
        "name": context.site_name,
        "username": get_username(context),
        "description": "",
        "domain": context.settings.site_url.partition("://")[2],
        "email_address": address,
        "email_domain": address.partition("@")[2],
        "from_name": parse_sender(sender).name if sender else "",
        "locale": "en",
        "timezone": local_time.zone().key,
        "enabled_features": [],
    }
