"""The public forms: subscribe, confirm, unsubscribe. A GET only shows; a POST changes something."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.datastructures import FormData

from api.common import form_challenge
from api.common.consent import CONFIRMING, make_consent
from api.common.dependencies import AppContext, Context, client_ip
from api.common.error_responses import DATABASE_UNAVAILABLE
from api.common.language import PageLanguage, explain_error, get_language
from api.common.render import HEADERS, render_message, render_page
from api.web import forms, preferences_page, signup_replies
from api.web.forms import NOT_ACCEPTED, AnyForm, Form, FormAge, SignupForm
from api.web.signup_replies import SignupReply
from mailer.core import addresses, tokens
from mailer.core.errors import BadInput, Unavailable
from mailer.core.form_fields import check_answers
from mailer.core.i18n import N_
from mailer.flows.billing import subscription_changes
from mailer.flows.subscribers import challenge, signup
from mailer.flows.subscribers.signup import TokenResult

router = APIRouter(include_in_schema=False)
router.include_router(preferences_page.router)

OTHER_ADDRESS = N_("We no longer send issues to the address this email went to, so there’s nothing to unsubscribe.")
PRESS_AGAIN = N_("Please click Subscribe again so we know you’re not a bot.")


@router.get("/subscribe")
def show_subscribe(context: Context, request: Request) -> Response:
    """Show the form; ``?tag=`` (repeatable) chooses topics."""
    tags = forms.clean_tags(request.query_params.getlist("tag"))
    signup_form = SignupForm("", tags, page=f"{context.settings.api_url}/subscribe")
    return signup_replies.show_form(context, request, signup_form, SignupReply())


@router.get("/subscribe/token")
def new_form_token(context: Context) -> Response:
    """A token for the script of a form on another page."""
    return signup_replies.answer_token(context)


@router.get("/api/emails/embed-subscribe/{newsletter}")
def redirect_to_form() -> Response:
    """Buttondown's path of the form: to ours."""
    return RedirectResponse("/subscribe", 303)


@router.post("/subscribe")
@router.post("/api/emails/embed-subscribe/{newsletter}")  # where Buttondown's forms post, with the same names of fields
def subscribe(context: Context, form: Form, request: Request) -> Response:
    """Sign up. The response and its time are the same whatever the address's state."""
    began, signup_form = time.monotonic(), forms.read_signup(form)
    signup_form = signup_form if signup_form.page else replace(signup_form, page=_referring_page(request))
    language = get_language(request)
    try:
        reply = _check_signup(context, request, form, signup_form) or _record_signup(context, request, signup_form)
    except BadInput as error:
        status, said, field = forms.error_status(error), explain_error(language, error), error.field or "email"
        reply = SignupReply(status, error=said, field=field, token=signup_form.token)
    except Unavailable:
        reply = SignupReply(503, error=language.say(DATABASE_UNAVAILABLE), token=signup_form.token)
    if reply.is_recorded:
        forms.equalize_timing(began)
    return signup_replies.answer_post(context, request, signup_form, reply)


@router.get("/confirm/{token}")
def show_confirm(context: Context, token: str, request: Request) -> Response:
    """Ask to confirm the subscription."""
    secret, expiry = context.settings.need_secrets(), context.settings.confirm_expiry
    language = get_language(request)
    if tokens.read_confirm(secret, token, datetime.now(UTC), expiry) is None:
        return _invalid_confirm_link(context, language)
    wording = make_consent(context.settings, context.site_name, language.say, CONFIRMING).html
    return render_page(context, "confirm.html", lang=language.lang, wording=wording)


@router.post("/confirm/{token}")
def confirm(context: Context, token: str, request: Request) -> Response:
    """Confirm; repeating it changes nothing."""
    language = get_language(request)
    wording = make_consent(context.settings, context.site_name, language.say, CONFIRMING).text
    result = signup.confirm_signup(context.database, context.settings, token, ip=client_ip(request), wording=wording)
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
    try:
        subscriber = signup.find_unsubscribing(context.database, context.settings, token)
    except Unavailable:  # the page works without what the database knows
        return render_page(context, "leave.html", lang=language.lang, token=token, masked="", pays=False, series=False)
    if subscriber is None:
        return _explain_other_address(context, language)
    if subscriber.state not in ("active", "unconfirmed"):
        return _confirm_unsubscribed(context, language, subscriber.id)
    pays = subscription_changes.is_charged(context.database, subscriber.id)
    masked, series = addresses.mask(subscriber.email), signup.is_in_sequence(context.database, context.settings, token)
    return render_page(context, "leave.html", lang=language.lang, token=token, masked=masked, pays=pays, series=series)


@router.post("/leave/{token}")
def unsubscribe(context: Context, token: str, form: AnyForm, request: Request) -> Response:
    """Unsubscribe; repeating it changes nothing. Also the RFC 8058 address: no cookie, no redirect, a short plain answer."""
    one_click, language = forms.is_one_click(form), get_language(request)
    if not one_click and forms.get_text(form, "only") == "series":
        return _end_series(context, language, token)
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
    claim = tokens.read_unsubscribe(context.settings.need_secrets(), token)
    return _confirm_unsubscribed(context, language, claim.subscriber_id if claim else 0)


def _check_signup(context: AppContext, request: Request, form: FormData, signup_form: SignupForm) -> SignupReply | None:
    """The reply to a form that needs another click or an answer, or None. Raises BadInput and Unavailable."""
    language, token = get_language(request), signup_form.token
    trapped = bool(signup_form.website)
    age = FormAge.STALE if trapped else forms.check_post(context, request, token, needs_token=False)
    if age is not FormAge.GOOD:
        again = token if age is FormAge.YOUNG else ""
        return SignupReply(NOT_ACCEPTED, note=language.say(PRESS_AGAIN), token=again)
    if (suggestion := addresses.suggestion(signup_form.email)) and signup_form.sure != signup_form.email:
        note = language.say("Is there a typo in your address?")
        return SignupReply(422, note=note, field="email", token=token, suggestion=suggestion)
    forms.check_tags(signup_form.tags)
    check_answers(context.form_fields, signup_form.answers, language.lang)
    answer = form_challenge.read_answer(context.settings, form)
    if challenge.is_passed(context.database, context.settings, answer, client_ip(request)):
        return None
    return SignupReply(NOT_ACCEPTED, note=form_challenge.explain_failure(context, language), token=token)


def _record_signup(context: AppContext, request: Request, signup_form: SignupForm) -> SignupReply:
    language = get_language(request)
    evidence = signup.SignupEvidence(
        ip=client_ip(request),
        wording=make_consent(context.settings, context.site_name, language.say).text,
        lang=language.lang,
        page=signup_form.page,
        reads=language.reads,
        answers=check_answers(context.form_fields, signup_form.answers, language.lang),
    )
    signup.sign_up(context.database, signup_form.email, signup_form.tags, evidence, context.settings)
    return SignupReply()


def _referring_page(request: Request) -> str:
    """The page with the form, according to the browser."""
    return request.headers.get("referer", "")[:300]


def _answer_one_click(result: TokenResult) -> Response:
    if result is TokenResult.INVALID:
        return PlainTextResponse("This link isn’t one of ours.\n", 400, HEADERS)
    if result is TokenResult.OTHER_ADDRESS:
        return PlainTextResponse(f"{OTHER_ADDRESS}\n", 200, HEADERS)
    return PlainTextResponse("You’ve unsubscribed.\n", 200, HEADERS)


def _end_series(context: AppContext, language: PageLanguage, token: str) -> Response:
    result = signup.end_sequence(context.database, context.settings, token)
    if result is TokenResult.INVALID:
        return _invalid_unsubscribe_link(context, language)
    if result is TokenResult.OTHER_ADDRESS:
        return _explain_other_address(context, language)
    sentences = [language.say("You won’t get any more emails of this series. You’ll still get the issues.")]
    return render_message(context, language.say("Series stopped"), sentences, lang=language.lang)


def _confirm_unsubscribed(context: AppContext, language: PageLanguage, subscriber_id: int) -> Response:
    say, title = language.say, language.say("You’ve unsubscribed")
    sentences = [
        say("You won’t get any more issues."),
        say("If an issue is already on its way, it will be the last one."),
    ]
    pays = subscription_changes.is_charged(context.database, subscriber_id)
    return render_page(context, "left.html", 200, language.lang, title=title, sentences=sentences, pays=pays)


def _explain_other_address(context: AppContext, language: PageLanguage) -> Response:
    sentences = [language.say(OTHER_ADDRESS), language.say("To unsubscribe another address, use the link in an email to it.")]
    return render_message(context, language.say("Nothing has changed"), sentences, lang=language.lang)


def _invalid_confirm_link(context: AppContext, language: PageLanguage) -> Response:
    days = max(1, context.settings.confirm_expiry.days)
    sentences = [
        language.say.ngettext(
            "It’s more than a day old, it was used before you unsubscribed, or part of it is missing.",
            "It’s more than %(number)s days old, it was used before you unsubscribed, or part of it is missing.",
            days,
        )
    ]
    title, label = language.say("This link no longer works"), language.say("Get a new link")
    return render_message(context, title, sentences, 400, lang=language.lang, href="/subscribe", label=label)


def _invalid_unsubscribe_link(context: AppContext, language: PageLanguage) -> Response:
    sentences = [
        language.say("Part of it is probably missing. Open it from the email again, or reply to the email and let us know."),
    ]
    return render_message(context, language.say("This link isn’t one of ours"), sentences, 400, lang=language.lang)
