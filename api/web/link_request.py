"""Pages where a subscriber requests a link by email, without a login: to their page, to cancel, to withdraw."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from api.common import form_challenge
from api.common.dependencies import AppContext, Context, client_ip
from api.common.error_responses import DATABASE_UNAVAILABLE
from api.common.language import PageLanguage, explain_error, get_language
from api.common.render import render_message, render_page
from api.web import forms
from api.web.forms import NOT_ACCEPTED, Form, FormAge
from mailer.core import tokens
from mailer.core.errors import BadInput, Unavailable
from mailer.core.i18n import N_
from mailer.flows.subscribers import challenge, preferences

router = APIRouter(include_in_schema=False)

PRESS_AGAIN = N_("Please click the button again so we know you’re not a bot.")


@dataclass(frozen=True)
class LinkPage:
    """A page that sends a link: its title, what the link is for, and whether it leads to the page about payments."""

    title: str
    about: str
    paid: bool = False


_ABOUT_CONTRACT = N_(
    "Enter the email address of your paid subscription. We’ll email you a link to the page where you can cancel it or,"
    " within the withdrawal period, withdraw from the contract."
)
PAGES = {
    "reader": LinkPage(
        N_("Your page"),
        N_("There you can choose your topics and how often you get email, pause, unsubscribe, and see or delete your data."),
    ),
    # Translators: German law (§ 312k BGB) wants „Verträge hier kündigen“, French law « Résilier votre contrat » (D. 215-1)
    "cancel": LinkPage(N_("Cancel contracts here"), _ABOUT_CONTRACT, paid=True),
    "withdraw": LinkPage(N_("Withdraw from contract here"), _ABOUT_CONTRACT, paid=True),
}


@router.get("/reader")
@router.get("/cancel")
@router.get("/withdraw")
def show_link_request(context: Context, request: Request) -> Response:
    """Show the form to request the link."""
    return _show_request(context, get_language(request), _path(request))


@router.post("/reader")
@router.post("/cancel")
@router.post("/withdraw")
def request_link(context: Context, form: Form, request: Request) -> Response:
    """Email the link, if this is a subscriber. The response and its time are the same either way."""
    began, language, submitted, path = time.monotonic(), get_language(request), forms.read_signup(form), _path(request)
    age = FormAge.STALE if submitted.website else forms.check_post(context, request, submitted.token)
    if age is not FormAge.GOOD:
        note, token = language.say(PRESS_AGAIN), submitted.token if age is FormAge.YOUNG else ""
        return _show_request(context, language, path, submitted.email, NOT_ACCEPTED, note=note, token=token)
    try:
        answer = form_challenge.read_answer(context.settings, form)
        if not challenge.is_passed(context.database, context.settings, answer, client_ip(request)):
            note = form_challenge.explain_failure(context, language)
            return _show_request(context, language, path, submitted.email, NOT_ACCEPTED, note=note, token=submitted.token)
        preferences.request_link(context.database, submitted.email, client_ip(request), paid=PAGES[path].paid)
    except BadInput as error:
        said = explain_error(language, error)
        return _show_request(context, language, path, submitted.email, 422, error=said, token=submitted.token)
    except Unavailable:
        said = language.say(DATABASE_UNAVAILABLE)
        return _show_request(context, language, path, submitted.email, 503, error=said, token=submitted.token)
    forms.equalize_timing(began)
    sentences = [
        language.say("If %(address)s is subscribed and can get our emails, we’ve sent it a link.", address=submitted.email)
    ]
    response = render_message(context, language.say("Check your inbox"), sentences, lang=language.lang)
    response.background = BackgroundTask(context.wake_transactional)
    return response


def _path(request: Request) -> str:
    return request.url.path.strip("/")


def _show_request(
    context: AppContext,
    language: PageLanguage,
    path: str,
    email: str = "",
    status: int = 200,
    note: str = "",
    error: str = "",
    token: str = "",
) -> Response:
    page, fresh = PAGES[path], token or tokens.form_token(context.settings.need_secrets(), datetime.now(UTC))
    about = [language.say(page.about)]
    if page.paid and context.settings.mailbox:
        write = language.say("You can also write to %(address)s.", address=context.settings.mailbox)
        about.append(write)
    return render_page(
        context, "ask.html", status, language.lang, title=language.say(page.title), about=about, path=f"/{path}", email=email,
        note=note, error=error, form_token=fresh, challenge=form_challenge.new_challenge(context.settings),
    )  # fmt: skip
