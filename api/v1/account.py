"""``ping``, ``accounts/me`` and ``newsletters``: who this server is."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import Desk, Here
from api.v1 import paging, schemas
from api.v1.errors import ApiError, not_found
from mailer.core import public_ids

router = APIRouter()


@router.get("/ping", tags=["Ping"], responses=schemas.answer("Empty"))
def ping() -> JSONResponse:
    """Does the key hold?"""
    return JSONResponse({})


@router.get("/accounts/me", tags=["Account"], responses=schemas.answer("Account"))
def get_account(desk: Here) -> JSONResponse:
    """The newsletter's name and sender."""
    return JSONResponse({"username": username(desk), "email_address": parseaddr(desk.settings.sender)[1]})


@router.get("/newsletters", tags=["Newsletters"], responses=schemas.answer("NewsletterPage"))
def list_newsletters(desk: Here, request: Request, page: paging.PageNumber = 1) -> JSONResponse:
    """The one newsletter of this server."""
    return paging.page(desk, request, paging.cut([_newsletter(desk)], page), 1, page)


@router.get("/newsletters/{id}", tags=["Newsletters"], responses=schemas.answer("Newsletter") | schemas.errors(404))
def get_newsletter(desk: Here, id: str) -> JSONResponse:
    """The one newsletter of this server."""
    if public_ids.number("news", id) != 1:
        not_found("newsletter")
    return JSONResponse(_newsletter(desk))


def username(desk: Desk) -> str:
    """The newsletter's name as a word."""
    word = "-".join("".join(sign if sign.isalnum() else " " for sign in desk.site_name.lower()).split())
    return word or "newsletter"


def check_username(desk: Desk, given: str) -> None:
    """Raises ApiError 404 for the name of another newsletter."""
    if given.lower() != username(desk):
        raise ApiError(404, "not_found", "There is no such newsletter here.")


def _newsletter(desk: Desk) -> dict[str, Any]:
    name, address = parseaddr(desk.settings.sender)
    return {
        "id": public_ids.public("news", 1),
        "creation_date": "1970-01-01T00:00:00+00:00",
        "api_key": "00000000-0000-0000-0000-000000000000",
        "name": desk.site_name,
        "username": username(desk),
        "description": "",
        "domain": desk.settings.site_url.partition("://")[2],
        "email_address": address,
        "email_domain": address.partition("@")[2],
        "from_name": name,
        "locale": "en",
        "timezone": "Etc/UTC",
        "enabled_features": [],
    }
