"""The public forms: subscribe, confirm, unsubscribe. A GET only shows; a POST changes something."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.background import BackgroundTask

from api.common import form_challenge
from api.common.dependencies import AppContext, Context, client_ip
from api.common.error_responses import DATABASE_UNAVAILABLE
from api.common.language import PageLanguage, explain_error, get_language
from api.common.render import HEADERS, render_message, render_page
from api.web import forms, preferences_page
from api.web.forms import AnyForm, Form, FormAge, SignupForm
from mailer.core import addresses, tokens
from mailer.core.errors import BadInput, Unavailable
from mailer.flows.billing import subscription_changes
from mailer.flows.subscribers import challenge, signup
from mailer.flows.subscribers.signup import TokenResult

router = APIRouter(include_in_schema=False)
router.include_router(preferences_page.router)

CONSENT_WORDING = (
    "We’ll email you once to confirm your address and send nothing else until you do. Every issue has an unsubscribe link."
)
OTHER_ADDRESS = "We no longer send issues to the address this email went to, so there’s nothing to unsubscribe."
PRESS_AGAIN = "Please click Subscribe again so we know you’re not a bot."


@router.get("/subscribe")
def show_subscribe(context: Context, request: Request) -> Response:
    """Show the form; ``?tag=`` (repeatable) chooses topics."""
    tags = forms.clean_tags(request.query_params.getlist("tag"))
    return _show_form(context, get_language(request), SignupForm("", tags, page=f"{context.settings.api_url}/subscribe"))


@router.post("/subscribe")
def subscribe(context: Context, form: Form, request: Request) -> Response:
    """Sign up. The response and its time are the same whatever the address's state."""
    began, language, signup_form = time.monotonic(), get_language(request), forms.read_signup(form)
    signup_form = signup_form if signup_form.page else replace(signup_form, page=_referring_page(request))
    if signup_form.website:
        forms.equalize_timing(began)
        return _show_inbox(context, language, signup_form)
    age = forms.check_post(context, request, signup_form.token)
    if age is not FormAge.GOOD:
        return _show_form(
            context,
            language,
            signup_form,
            note=language.say(PRESS_AGAIN),
            token=signup_form.token if age is FormAge.YOUNG else "",
        )
    if (suggestion := addresses.suggestion(signup_form.email)) and signup_form.sure != signup_form.email:
        note = language.say("Is there a typo in your address?")
        return _show_form(context, language, signup_form, note=note, token=signup_form.token, suggestion=suggestion)
    try:
        forms.check_tags(signup_form.tags)
        if not challenge.is_passed(
            context.database, context.settings, form_challenge.read_answer(context.settings, form), client_ip(request)
        ):
            return _show_form(
                context, language, signup_form, note=form_challenge.explain_failure(context, language), token=signup_form.token
            )
        evidence = signup.SignupEvidence(
            ip=client_ip(request),
            wording=language.say(CONSENT_WORDING),
            lang=language.lang,
            page=signup_form.page,
            reads=language.reads,
        )
        signup.sign_up(context.database, signup_form.email, signup_form.tags, evidence, context.settings)
    except BadInput as error:
        return _show_form(
            context,
            language,
            signup_form,
            forms.error_status(error),
            error=explain_error(language, error),
            token=signup_form.token,
            field=error.field or "email",
        )
    except Unavailable:
        return _show_form(
            context, language, signup_form, 503, error=language.say(DATABASE_UNAVAILABLE), token=signup_form.token
        )
    forms.equalize_timing(began)
    return _show_inbox(context, language, signup_form, BackgroundTask(context.wake_transactional))


@router.get("/confirm/{token}")
def show_confirm(context: Context, token: str, request: Request) -> Response:
    """Ask to confirm the subscription."""
    secret, expiry = context.settings.need_secrets(), context.settings.confirm_expiry
    language = get_language(request)
    if tokens.read_confirm(secret, token, datetime.now(UTC), expiry) is None:
        return _invalid_confirm_link(context, language)
    return render_page(context, "confirm.html", lang=language.lang)


@router.post("/confirm/{token}")
def confirm(context: Context, token: str, request: Request) -> Response:
    """Confirm; repeating it changes nothing."""
    language = get_language(request)
    result = signup.confirm_signup(context.database, context.settings, token, ip=client_ip(request))
    if result is TokenResult.INVALID:
        return _invalid_confirm_link(context, language)
    done = result is TokenResult.DONE
    title = (
        language.say("Your subscription is confirmed") if done else language.say("You’ve already confirmed your subscription")
    )
    sentences = [
        language.say("You’ll get the next issue by email."),
        language.say("You can unsubscribe at any time with the link in every issue."),
    ]
    label = language.say("Read the archive in the meantime")
    return render_message(context, title, sentences, lang=language.lang, href=context.home, label=label)


@router.get("/leave/{token}")
def show_unsubscribe(context: Context, token: str, request: Request) -> Response:
    """Ask whether to unsubscribe."""
    language = get_language(request)
    if tokens.read_unsubscribe(context.settings.need_secrets(), token) is None:
        return _invalid_unsubscribe_link(context, language)
    return render_page(context, "leave.html", lang=language.lang, token=token)


@router.post("/leave/{token}")
def unsubscribe(context: Context, token: str, form: AnyForm, request: Request) -> Response:
    """Unsubscribe; repeating it changes nothing. Also the RFC 8058 address: no cookie, no redirect, a short plain answer."""
    one_click, language = forms.is_one_click(form), get_language(request)
    source = "one-click" if one_click else "page"
    try:
        result = signup.unsubscribe(context.database, context.settings, token, source=source, ip=client_ip(request))
    except Unavailable:
        if not one_click:
            raise
        return PlainTextResponse(DATABASE_UNAVAILABLE, 503, {**HEADERS, "Retry-After": "60"})
    if one_click:
        return _answer_one_click(result)
    if result is TokenResult.INVALID:
        return _invalid_unsubscribe_link(context, language)
    if result is TokenResult.OTHER_ADDRESS:
        return _explain_other_address(context, language)
    sentences = [
        language.say("You won’t get any more issues."),
        language.say("If an issue is already on its way, it will be the last one."),
    ]
    claim = tokens.read_unsubscribe(context.settings.need_secrets(), token)
    if claim and subscription_changes.is_charged(context.database, claim.subscriber_id):
        sentences.append(language.say("This only stops the emails. Your paid subscription continues."))
    label = language.say("Unsubscribed by mistake? Subscribe again")
    return render_message(
        context, language.say("You’ve unsubscribed"), sentences, lang=language.lang, href="/subscribe", label=label
    )


def _referring_page(request: Request) -> str:
    """The page with the form, according to the browser."""
    return request.headers.get("referer", "")[:300]


def _answer_one_click(result: TokenResult) -> Response:
    if result is TokenResult.INVALID:
        return PlainTextResponse("This link isn’t one of ours.\n", 400, HEADERS)
    if result is TokenResult.OTHER_ADDRESS:
        return PlainTextResponse(f"{OTHER_ADDRESS}\n", 200, HEADERS)
    return PlainTextResponse("You’ve unsubscribed.\n", 200, HEADERS)


def _show_form(
    context: AppContext,
    language: PageLanguage,
    signup_form: SignupForm,
    status: int = 200,
    note: str = "",
    error: str = "",
    token: str = "",
    suggestion: str = "",
    field: str = "",
) -> Response:
    fresh = token or tokens.form_token(context.settings.need_secrets(), datetime.now(UTC))
    facts = {
        "wish": signup_form,
        "note": note,
        "error": error,
        "token": fresh,
        "wording": language.say(CONSENT_WORDING),
        "meant": suggestion,
    }
    facts["asked"] = language.asked
    facts |= {"challenge": form_challenge.new_challenge(context.settings), "field": field}
    return render_page(context, "subscribe.html", status, language.lang, **facts)


def _show_inbox(
    context: AppContext, language: PageLanguage, signup_form: SignupForm, after: BackgroundTask | None = None
) -> Response:
    response = render_page(context, "inbox.html", lang=language.lang, email=signup_form.email)
    response.background = after
    return response


def _explain_other_address(context: AppContext, language: PageLanguage) -> Response:
    sentences = [language.say(OTHER_ADDRESS), language.say("To unsubscribe another address, use the link in an email to it.")]
    return render_message(context, language.say("Nothing has changed"), sentences, lang=language.lang)


def _invalid_confirm_link(context: AppContext, language: PageLanguage) -> Response:
    days = max(1, context.settings.confirm_expiry.days)
    sentences = [
        language.say(
            "It’s more than %(days)s days old, it was used before you unsubscribed, or part of it is missing.", days=days
        )
    ]
    title, label = language.say("This link no longer works"), language.say("Get a new link")
    return render_message(context, title, sentences, 400, lang=language.lang, href="/subscribe", label=label)


def _invalid_unsubscribe_link(context: AppContext, language: PageLanguage) -> Response:
    sentences = [
        language.say("Part of it is probably missing. Open it from the email again, or reply to the email and let us know."),
    ]
    return render_message(context, language.say("This link isn’t one of ours"), sentences, 400, lang=language.lang)
