"""Signing in and out. A GET shows a button; only its POST uses the link up."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from api.common.dependencies import Context
from api.common.render import render_page
from api.common.request_origin import PostOrigin, find_post_origin
from api.desk.authentication import OwnForm, Session, set_cookie
from api.web.forms import AnyForm, get_text
from mailer import transports
from mailer.flows.operations.desk import desk_access

router = APIRouter(include_in_schema=False)


@router.get("/desk/login")
def show_login(context: Context) -> Response:
    """Ask for the operator's address."""
    return render_page(context, "desk/login.html", sent=False)


@router.post("/desk/login")
def request_link(context: Context, request: Request, form: AnyForm) -> Response:
    """Send a link to an operator. The page says the same for every address, and as fast."""
    response = render_page(context, "desk/login.html", sent=True)
    other = find_post_origin(request, context.settings) is PostOrigin.OTHER
    email = "" if other else get_text(form, "email")[:320]

    response.background = BackgroundTask(
        desk_access.email_link, context.database, context.settings, transports.make_transport, context.site_name, email
    )
    return response


@router.get("/desk/login/{token}")
def show_link(context: Context, token: str) -> Response:
    """Show the button that signs in."""
    valid = desk_access.is_link_open(context.database, token)
    return render_page(context, "desk/link.html", 200 if valid else 400, valid=valid)


@router.post("/desk/login/{token}")
def sign_in(context: Context, token: str, request: Request) -> Response:
    """Use the link up and begin a session."""
    other = find_post_origin(request, context.settings) is PostOrigin.OTHER
    secret = None if other else desk_access.sign_in(context.database, context.settings, token)
    if secret is None:
        return render_page(context, "desk/link.html", 400, valid=False)
    response = RedirectResponse("/desk", 303, {"Cache-Control": "no-store"})
    set_cookie(context.settings, response, secret)
    return response


@router.post("/desk/logout")
def sign_out(context: Context, session: Session, form: OwnForm) -> Response:
    """End the session."""
    desk_access.sign_out(context.database, session)
    response = RedirectResponse("/desk/login", 303)
    set_cookie(context.settings, response, "")
    return response
