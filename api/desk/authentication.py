"""Who asks for a page of the desk: the session of the cookie. Nobody without one sees anything."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.common.dependencies import AppContext, Context
from api.common.request_origin import PostOrigin, find_post_origin
from api.web.forms import AnyForm, get_text
from mailer.core.settings import Settings
from mailer.flows.operations.desk import desk_access
from mailer.flows.operations.desk.desk_access import DeskSession

COOKIE_PATH = "/desk"


def cookie_name(settings: Settings) -> str:
    """Return the cookie's name: over https with the prefix that keeps plain http and other hosts from setting it."""
    return "__Secure-postmerge_desk" if settings.api_url.startswith("https:") else "postmerge_desk"


def set_cookie(settings: Settings, response: Response, secret: str) -> None:
    """Give the browser a session; '' takes it away."""
    response.set_cookie(
        cookie_name(settings),
        secret,
        max_age=int(desk_access.SESSION_LENGTH.total_seconds()) if secret else 0,
        path=COOKIE_PATH,
        secure=settings.api_url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )


def find_session(context: AppContext, request: Request) -> DeskSession | None:
    """Return the session of the request's cookie, or None."""
    secret = request.cookies.get(cookie_name(context.settings), "")
    return desk_access.find_session(context.database, context.settings, secret)


def _require_session(context: Context, request: Request) -> DeskSession:
    """Send everybody without a session to the sign-in."""
    session = find_session(context, request)
    if session is None:
        raise HTTPException(303, "Sign in first.", {"Location": "/desk/login", "Cache-Control": "no-store"})
    return session


Session = Annotated[DeskSession, Depends(_require_session)]


def _require_own_form(context: Context, request: Request, session: Session, form: AnyForm) -> FormData:
    """Refuse a form that did not come from a page of this session; it is written down."""
    own = find_post_origin(request, context.settings) is not PostOrigin.OTHER
    if not own or get_text(form, "form_token") != session.form_token:
        desk_access.refuse_form(context.database, session, request.url.path)
        raise HTTPException(403, "This form is not from a page of the desk: open the page again and repeat it.")
    return form


OwnForm = Annotated[FormData, Depends(_require_own_form)]
