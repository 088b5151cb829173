"""The public forms: subscribe, confirm, leave. A GET shows; only a POST changes something."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.background import BackgroundTask

from api.common import challenge as asked
from api.common.dependencies import Desk, Here, client_ip
from api.common.error_responses import CLOSED
from api.common.language import Tongue, sentence, tongue
from api.common.render import HEADERS, message, page
from api.web import forms, preferences_page
from api.web.forms import Age, AnyForm, Form, Wish
from mailer.core import addresses, tokens
from mailer.core.errors import BadInput, Unavailable
from mailer.flows.subscribers import challenge, signup
from mailer.flows.subscribers.signup import Result

router = APIRouter(include_in_schema=False)
router.include_router(preferences_page.router)

WORDING = (
    "You get one mail that asks whether it was you."
    " Nothing more is sent until you say yes, and every issue has a link to leave."
)
ONCE_MORE = "Press Subscribe once more, so that we see that a person is asking."


@router.get("/subscribe")
def subscribe_form(desk: Here, request: Request) -> Response:
    """The form; ``?tag=`` (repeated) chooses topics."""
    tags = forms.tags_of(request.query_params.getlist("tag"))
    return _form(desk, tongue(request), Wish("", tags, page=f"{desk.settings.api_url}/subscribe"))


@router.post("/subscribe")
def subscribe(desk: Here, form: Form, request: Request) -> Response:
    """Record the wish. Says the same, in the same time, whatever the address's state is."""
    began, here, wish = time.monotonic(), tongue(request), forms.wish(form)
    wish = wish if wish.page else replace(wish, page=_page_of(request))
    if wish.website:
        forms.even_out(began)
        return _inbox(desk, here, wish)
    age = forms.age(desk.settings.need_secret(), wish.token)
    if age is not Age.GOOD:
        return _form(desk, here, wish, note=here.say(ONCE_MORE), token=wish.token if age is Age.YOUNG else "")
    if (meant := addresses.suggestion(wish.email)) and wish.sure != wish.email:
        note = here.say("Is there a typing error in the address?")
        return _form(desk, here, wish, note=note, token=wish.token, meant=meant)
    try:
        forms.check_tags(wish.tags)
        if not challenge.met(desk.database, desk.settings, asked.answer(desk.settings, form), client_ip(request)):
            return _form(desk, here, wish, note=asked.unmet(desk, here), token=wish.token)
        signup.sign_up(
            desk.database,
            wish.email,
            wish.tags,
            ip=client_ip(request),
            wording=here.say(WORDING),
            settings=desk.settings,
            lang=here.lang,
            reads=here.reads,
            page=wish.page,
        )
    except BadInput as error:
        return _form(desk, here, wish, 422, error=sentence(here, error), token=wish.token, field=error.field or "email")
    except Unavailable:
        return _form(desk, here, wish, 503, error=here.say(CLOSED), token=wish.token)
    forms.even_out(began)
    return _inbox(desk, here, wish, BackgroundTask(desk.ring))


@router.get("/confirm/{token}")
def confirm_form(desk: Here, token: str, request: Request) -> Response:
    """A page with a button."""
    secret, expiry = desk.settings.need_secret(), desk.settings.confirm_expiry
    here = tongue(request)
    if tokens.read_confirm(secret, token, datetime.now(UTC), expiry) is None:
        return _cannot_confirm(desk, here)
    return page(desk, "confirm.html", lang=here.lang)


@router.post("/confirm/{token}")
def confirm(desk: Here, token: str, request: Request) -> Response:
    """Confirm; twice does no harm."""
    here = tongue(request)
    result = signup.confirm(desk.database, desk.settings, token, ip=client_ip(request))
    if result is Result.INVALID:
        return _cannot_confirm(desk, here)
    done = result is Result.DONE
    title = here.say("Your subscription is confirmed") if done else here.say("You had confirmed already")
    sentences = [here.say("The next issue comes by mail."), here.say("Every issue has a link to leave, with one click.")]
    label = here.say("Read the archive until then")
    return message(desk, title, sentences, lang=here.lang, href=desk.home, label=label)


@router.get("/leave/{token}")
def leave_form(desk: Here, token: str, request: Request) -> Response:
    """A page with a button."""
    here = tongue(request)
    if tokens.read_leave(desk.settings.need_secret(), token) is None:
        return _cannot_leave(desk, here)
    return page(desk, "leave.html", lang=here.lang, token=token)


@router.post("/leave/{token}")
def leave(desk: Here, token: str, form: AnyForm, request: Request) -> Response:
    """Leave; twice does no harm. Also the RFC 8058 address: no cookie, no redirect, a short plain answer."""
    one_click, here = forms.is_one_click(form), tongue(request)
    source = "one-click" if one_click else "page"
    try:
        result = signup.leave(desk.database, desk.settings, token, source=source, ip=client_ip(request))
    except Unavailable:
        if not one_click:
            raise
        return PlainTextResponse(CLOSED, 503, {**HEADERS, "Retry-After": "60"})
    if one_click:
        return _one_click(result)
    if result is Result.INVALID:
        return _cannot_leave(desk, here)
    sentences = [
        here.say("No more issues are sent to you."),
        here.say("If one was on its way this very moment, it is the last."),
    ]
    label = here.say("It was a mistake: subscribe again")
    return message(desk, here.say("You have left"), sentences, lang=here.lang, href="/subscribe", label=label)


def _page_of(request: Request) -> str:
    """The page on which the form was, as far as the browser says."""
    return request.headers.get("referer", "")[:300]


def _one_click(result: Result) -> Response:
    if result is Result.INVALID:
        return PlainTextResponse("This link is not one of ours.\n", 400, HEADERS)
    return PlainTextResponse("You have left.\n", 200, HEADERS)


def _form(
    desk: Desk,
    here: Tongue,
    wish: Wish,
    status: int = 200,
    note: str = "",
    error: str = "",
    token: str = "",
    meant: str = "",
    field: str = "",
) -> Response:
    fresh = token or tokens.form_token(desk.settings.need_secret(), datetime.now(UTC))
    facts = {"wish": wish, "note": note, "error": error, "token": fresh, "wording": here.say(WORDING), "meant": meant}
    facts["asked"] = here.asked
    facts |= {"challenge": asked.ask(desk.settings), "field": field}
    return page(desk, "subscribe.html", status, here.lang, **facts)


def _inbox(desk: Desk, here: Tongue, wish: Wish, after: BackgroundTask | None = None) -> Response:
    response = page(desk, "inbox.html", lang=here.lang, email=wish.email)
    response.background = after
    return response


def _cannot_confirm(desk: Desk, here: Tongue) -> Response:
    days = max(1, desk.settings.confirm_expiry.days)
    sentences = [here.say("It is older than %(days)s days, was used before you left, or was cut off on its way.", days=days)]
    title, label = here.say("This link does not hold any more"), here.say("Ask for a new one")
    return message(desk, title, sentences, 400, lang=here.lang, href="/subscribe", label=label)


def _cannot_leave(desk: Desk, here: Tongue) -> Response:
    sentences = [
        here.say("It was probably cut off on its way: open it from the mail once more, or answer the mail and say so."),
    ]
    return message(desk, here.say("This link is not one of ours"), sentences, 400, lang=here.lang)
