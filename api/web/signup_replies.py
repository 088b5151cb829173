"""The replies to a posted sign-up form: a page, or JSON for our own script. Only one that was recorded has status 200."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.background import BackgroundTask

from api.common import form_challenge
from api.common.consent import make_consent
from api.common.dependencies import AppContext
from api.common.language import PageLanguage, get_language
from api.common.render import render_page
from api.web.forms import NOT_ACCEPTED, SignupForm
from mailer.core import tokens
from mailer.flows.subscribers.erasure import BOUNCE_BLOCKS_SIGNUP_FOR

_VARY = "Origin, Accept"


@dataclass(frozen=True)
class SignupReply:
    """What happened to a posted form. ``note`` asks for another click, ``error`` says what to correct in ``field``.

    ``token`` is the form's, if it may be posted again; ``suggestion`` the address that was probably meant.
    """

    status: int = 200
    note: str = ""
    error: str = ""
    field: str = ""
    token: str = ""
    suggestion: str = ""

    @property
    def is_recorded(self) -> bool:
        """Whether the sign-up was recorded: everything else must not look like success."""
        return self.status == 200


def show_form(context: AppContext, request: Request, signup_form: SignupForm, reply: SignupReply) -> Response:
    """The page with the form, filled in."""
    language = get_language(request)
    token = reply.token or tokens.form_token(context.settings.need_secrets(), datetime.now(UTC))
    facts = {
        "wish": signup_form,
        "note": reply.note,
        "error": reply.error,
        "field": reply.field,
        "meant": reply.suggestion,
        "token": token,
        "wording": make_consent(context.settings, context.site_name, language.say).html,
        "asked": language.asked,
        "fields": context.form_fields,
        "challenge": form_challenge.new_challenge(context.settings),
    }
    return render_page(context, "subscribe.html", reply.status, language.lang, **facts)


def answer_post(context: AppContext, request: Request, signup_form: SignupForm, reply: SignupReply) -> Response:
    """The response to a post: the page to check one's inbox, or the form again; as JSON if the request accepts only that."""
    accepted = request.headers.get("accept", "")
    if "application/json" in accepted and "text/html" not in accepted:
        content = _describe(get_language(request), signup_form, reply)
        response: Response = JSONResponse(content, reply.status, {"Cache-Control": "no-store"})
    elif reply.is_recorded:
        lang, days = get_language(request).lang, BOUNCE_BLOCKS_SIGNUP_FOR.days
        response = render_page(context, "inbox.html", lang=lang, email=signup_form.email, bounce_days=days)
    else:
        response = show_form(context, request, signup_form, reply)
    response.headers["Vary"] = _VARY
    if reply.is_recorded:
        response.background = BackgroundTask(context.wake_transactional)
    return response


def answer_token(context: AppContext) -> Response:
    """A new form token and challenge, for a form on a page that was built long ago."""
    token = tokens.form_token(context.settings.need_secrets(), datetime.now(UTC))
    asked = form_challenge.new_challenge(context.settings)
    challenge = {"challenge": {name: value for name, value in vars(asked).items() if name != "policy"}} if asked else {}
    return JSONResponse({"token": token, **challenge}, headers={"Cache-Control": "no-store", "Vary": _VARY})


def _describe(language: PageLanguage, signup_form: SignupForm, reply: SignupReply) -> dict[str, Any]:
    """The reply for the script. ``needs_page``: only our page can ask what is missing."""
    if reply.is_recorded:
        sent = language.say(
            "If %(address)s isn’t subscribed yet and can get our emails, we’ve sent it a link. Open the email and confirm,"
            " and you’re subscribed.",
            address=signup_form.email,
        )
        lost = language.say(
            "No email yet? Check your spam folder and the spelling of your address, then try again in ten minutes."
        )
        return {"recorded": True, "title": language.say("Check your inbox"), "message": f"{sent} {lost}"}
    described: dict[str, Any] = {"recorded": False, "message": reply.error or reply.note, "field": reply.field}
    if reply.suggestion:
        described["message"] = language.say("Did you mean %(address)s?", address=reply.suggestion)
        described["suggestion"] = reply.suggestion
        described["accept"] = language.say("Yes, that one")
        described["insist"] = language.say("If it’s correct, click Subscribe again.")
    return described | {"needs_page": reply.status == NOT_ACCEPTED}
