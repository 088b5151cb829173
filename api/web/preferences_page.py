"""The reader's own page behind a signed link. A GET shows; each button is a form of its own and works without JavaScript."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from api.common import challenge as asked
from api.common.dependencies import Desk, Here, client_ip
from api.common.error_responses import CLOSED
from api.common.language import Tongue, sentence, tongue
from api.common.render import HEADERS, message, page
from api.web import forms
from api.web.forms import Age, AnyForm, Form
from mailer.core import i18n, tokens
from mailer.core.errors import BadInput, Unavailable
from mailer.flows.subscribers import challenge, change_of_address, preferences, scanner_detection
from mailer.flows.subscribers.preferences import MONTHS, Person
from mailer.flows.subscribers.signup import Result
from mailer.store.subscribers.preferences import Choices

router = APIRouter(include_in_schema=False)


@router.get("/reader")
def ask_form(desk: Here, request: Request) -> Response:
    """Where somebody asks for the link to their page."""
    return _ask(desk, tongue(request))


@router.post("/reader")
def ask(desk: Here, form: Form, request: Request) -> Response:
    """Mail the link, if there is such a reader. Says the same, in the same time, whether there is one."""
    began, here, wish = time.monotonic(), tongue(request), forms.wish(form)
    if not wish.website:
        age = forms.age(desk.settings.need_secret(), wish.token)
        if age is not Age.GOOD:
            note = here.say("Press the button once more, so that we see that a person is asking.")
            return _ask(desk, here, wish.email, note=note, token=wish.token if age is Age.YOUNG else "")
        try:
            if not challenge.met(desk.database, desk.settings, asked.answer(desk.settings, form), client_ip(request)):
                return _ask(desk, here, wish.email, note=asked.unmet(desk, here), token=wish.token)
            preferences.ask_link(desk.database, wish.email, client_ip(request))
        except BadInput as error:
            return _ask(desk, here, wish.email, 422, error=sentence(here, error), token=wish.token)
        except Unavailable:
            return _ask(desk, here, wish.email, 503, error=here.say(CLOSED), token=wish.token)
    forms.even_out(began)
    title = here.say("Look into your inbox")
    sentences = [
        here.say("If there is a subscription for %(address)s, a mail with the link is on its way.", address=wish.email)
    ]
    response = message(desk, title, sentences, lang=here.lang)
    response.background = BackgroundTask(desk.ring)
    return response


@router.get("/reader/{token}")
def show(desk: Here, token: str, request: Request) -> Response:
    """The page."""
    person = preferences.who(desk.settings, token)
    return _page(desk, request, person, token) if person else _gone(desk, tongue(request))


@router.post("/reader/{token}/{action}")
def act(desk: Here, token: str, action: str, form: AnyForm, request: Request) -> Response:
    """Press one of the page's buttons."""
    if action not in _ACTIONS:
        raise HTTPException(404)
    person = preferences.who(desk.settings, token)
    if person is None:
        return _gone(desk, tongue(request))
    reader = preferences.look(desk.database, person)
    here = tongue(request, reader.lang if reader else "")
    try:
        return _ACTIONS[action](desk, person, token, form, request, here)
    except BadInput as error:
        typed = forms.wish(form).email
        at = action if action == "address" and person.whole and reader and reader.state == "active" else ""
        return _page(desk, request, person, token, status=422, error=sentence(here, error), typed=typed, at=at)


@router.get("/address/{token}")
def address_form(desk: Here, token: str, request: Request) -> Response:
    """A page with a button, for the new address."""
    here = tongue(request)
    if not change_of_address.reads(desk.settings, token):
        return _cannot_move(desk, here)
    say = here.say
    return page(
        desk,
        "yes.html",
        lang=here.lang,
        title=say("Shall the issues come to this address?"),
        label=say("Yes, send them here"),
        small=say("If you did not ask for it, close this page: without your yes nothing changes."),
    )


@router.post("/address/{token}")
def move(desk: Here, token: str, request: Request) -> Response:
    """The new address says yes; twice does no harm."""
    here = tongue(request)
    result = change_of_address.confirm(desk.database, desk.settings, token, client_ip(request))
    if result is Result.INVALID:
        return _cannot_move(desk, here)
    response = message(
        desk, here.say("Your address is changed"), [here.say("The next issue comes to your new address.")], lang=here.lang
    )
    response.background = BackgroundTask(desk.ring)
    return response


@router.get("/canary/{token}")
def canary(desk: Here, token: str, request: Request) -> Response:
    """The hidden link of a single mail: whoever opens it is a program. Changes nothing; the visit is written down."""
    return _canary(desk, request, scanner_detection.opened_in_mail(desk.database, desk.settings, token))


@router.get("/leave/{token}/canary")
def canary_of_issue(desk: Here, token: str, request: Request) -> Response:
    """The hidden link of an issue's mail."""
    return _canary(desk, request, scanner_detection.opened_in_issue(desk.database, desk.settings, token))


def _canary(desk: Desk, request: Request, ours: bool) -> Response:
    if not ours:
        raise HTTPException(404)
    here = tongue(request)
    return message(
        desk, here.say("Nothing to see here"), [here.say("This link is for programs that look at links.")], lang=here.lang
    )


def _choose(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    lang = forms.text(form, "lang")
    wish, often = forms.tags_of(form.getlist("tag")), forms.text(form, "frequency")
    preferences.choose(desk.database, desk.settings, person, wish, often, lang, client_ip(request))
    here = tongue(request, lang)
    return _page(desk, request, person, token, note=here.say("Saved."))


def _pause(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    until = preferences.pause(desk.database, person, forms.text(form, "months"), client_ip(request))
    note = here.say("Paused until %(date)s.", date=i18n.day(until.date(), here.lang))
    return _page(desk, request, person, token, note=note)


def _resume(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    preferences.resume(desk.database, person, client_ip(request))
    return _page(desk, request, person, token, note=here.say("The pause is over: the next issue comes by mail."))


def _leave(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    preferences.leave(desk.database, person, client_ip(request))
    return _page(desk, request, person, token, note=here.say("You have left. No more issues are sent to you."))


def _link(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    preferences.mail_link(desk.database, person)
    note = here.say("A mail with the link is on its way. Nothing came? Ask again after ten minutes.")
    response = _page(desk, request, person, token, note=note)
    response.background = BackgroundTask(desk.ring)
    return response


def _address(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    change_of_address.ask(desk.database, person, forms.wish(form).email, client_ip(request))
    response = _page(desk, request, person, token, note=here.say("Look into the inbox of your new address and say yes there."))
    response.background = BackgroundTask(desk.ring)
    return response


def _export(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    kept = preferences.everything(desk.database, person)
    body = json.dumps(kept, indent=2, ensure_ascii=False, default=_plain)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="what-is-kept-about-me.json"'}
    return Response(body, 200, headers, "application/json")


def _erase(desk: Desk, person: Person, token: str, form: FormData, request: Request, here: Tongue) -> Response:
    preferences.erase(desk.database, desk.settings, person)
    sentences = [here.say("Everything that was kept about you is gone. You can subscribe again whenever you like.")]
    return message(desk, here.say("Erased"), sentences, lang=here.lang)


_Action = Callable[[Desk, Person, str, FormData, Request, Tongue], Response]
_ACTIONS: dict[str, _Action] = {
    "choose": _choose,
    "pause": _pause,
    "resume": _resume,
    "leave": _leave,
    "link": _link,
    "address": _address,
    "export": _export,
    "erase": _erase,
}


def _page(
    desk: Desk,
    request: Request,
    person: Person,
    token: str,
    status: int = 200,
    note: str = "",
    error: str = "",
    typed: str = "",
    at: str = "",
) -> Response:
    reader = preferences.look(desk.database, person)
    here = tongue(request, reader.lang if reader else "")
    if reader is None:
        sentences = [here.say("Nothing is kept about this address any more.")]
        return message(desk, here.say("There is nothing here"), sentences, 404, lang=here.lang)
    return page(
        desk,
        "reader.html",
        status,
        here.lang,
        reader=reader,
        whole=person.whole,
        token=token,
        note=note,
        error=error,
        typed=typed,
        at=at,
        topics=preferences.topics(desk.settings, reader),
        until=_until(reader, here.lang),
        months=MONTHS,
        languages=preferences.languages(desk.database, reader),
    )


def _until(reader: Choices, lang: str) -> str:
    """The day on which a pause ends, in words, or '' without one."""
    if reader.paused_until is None or reader.paused_until <= datetime.now(UTC):
        return ""
    return i18n.day(reader.paused_until.date(), lang)


def _ask(
    desk: Desk, here: Tongue, email: str = "", status: int = 200, note: str = "", error: str = "", token: str = ""
) -> Response:
    fresh = token or tokens.form_token(desk.settings.need_secret(), datetime.now(UTC))
    facts = {"email": email, "note": note, "error": error, "form_token": fresh, "challenge": asked.ask(desk.settings)}
    return page(desk, "ask.html", status, here.lang, **facts)


def _gone(desk: Desk, here: Tongue) -> Response:
    sentences = [here.say("It is older than a day, or was cut off on its way.")]
    return message(
        desk,
        here.say("This link does not hold any more"),
        sentences,
        400,
        lang=here.lang,
        href="/reader",
        label=here.say("Ask for a new one"),
    )


def _cannot_move(desk: Desk, here: Tongue) -> Response:
    sentences = [
        here.say("It is too old, was cut off on its way, or the new address has a subscription of its own already."),
    ]
    return message(
        desk,
        here.say("This link does not hold any more"),
        sentences,
        400,
        lang=here.lang,
        href="/reader",
        label=here.say("Ask for a link to your page"),
    )


def _plain(value: Any) -> str:
    """What JSON has no form for: times as ISO 8601, bytes as hexadecimal digits."""
    if isinstance(value, memoryview | bytes):
        return bytes(value).hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
