"""The preferences page behind a signed link. A GET only shows; each button is its own form and works without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext, Context, client_ip
from api.common.language import PageLanguage, explain_error, get_language
from api.common.render import HEADERS, render_message, render_page
from api.common.request_origin import PostOrigin, find_post_origin
from api.web import forms, link_request
from api.web.forms import NOT_ACCEPTED, AnyForm
from api.web.link_request import PRESS_AGAIN
from mailer.core.errors import BadInput
from mailer.flows.billing import paid_content, subscription_changes
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.subscribers import change_of_address, preferences, scanner_detection
from mailer.flows.subscribers.preferences import PAUSE_MONTHS, LinkOwner
from mailer.flows.subscribers.signup import TokenResult
from mailer.store.subscribers.preferences import SubscriberChoices

router = APIRouter(include_in_schema=False)
router.include_router(link_request.router)


@router.get("/reader/{token}")
def show_preferences(context: Context, token: str, request: Request) -> Response:
    """Show the preferences page."""
    person = preferences.identify(context.database, context.settings, token)
    return _show_page(context, request, person, token) if person else _invalid_link(context, get_language(request))


@router.post("/reader/{token}/{action}")
def change_preferences(context: Context, token: str, action: str, form: AnyForm, request: Request) -> Response:
    """Carry out one of the page's actions."""
    if action not in _ACTIONS:
        raise HTTPException(404)
    person = preferences.identify(context.database, context.settings, token)
    if person is None:
        return _invalid_link(context, get_language(request))
    subscriber = preferences.get_choices(context.database, person)
    language = get_language(request, subscriber.lang if subscriber else "")
    try:
        return _ACTIONS[action](context, person, token, form, request, language)
    except BadInput as error:
        typed = forms.read_signup(form).email
        at = action if action == "address" and person.has_full_access and subscriber and subscriber.state == "active" else ""
        return _show_page(
            context,
            request,
            person,
            token,
            status=forms.error_status(error),
            error=explain_error(language, error),
            typed=typed,
            at=at,
        )


@router.get("/address/{token}")
def show_address_change(context: Context, token: str, request: Request) -> Response:
    """Ask the new address to confirm."""
    language = get_language(request)
    if not change_of_address.is_valid_link(context.settings, token):
        return _invalid_address_link(context, language)
    say = language.say
    return render_page(
        context,
        "yes.html",
        lang=language.lang,
        title=say("Do you want to get the issues at this address?"),
        label=say("Confirm new address"),
        small=say("Didn’t ask for this? Just close this page. Nothing will change."),
    )


@router.post("/address/{token}")
def confirm_address_change(context: Context, token: str, request: Request) -> Response:
    """Change the address; repeating it changes nothing."""
    language = get_language(request)
    result = change_of_address.confirm_change(context.database, context.settings, token, client_ip(request))
    if result is TokenResult.INVALID:
        return _invalid_address_link(context, language)
    response = render_message(
        context,
        language.say("Your address has been changed"),
        [language.say("You’ll get the next issue at your new address.")],
        lang=language.lang,
    )
    response.background = BackgroundTask(context.wake_transactional)
    return response


@router.get("/canary/{token}")
def answer_canary(context: Context, token: str, request: Request) -> Response:
    """Answer the hidden link of a transactional email: only programs open it. The visit is recorded; nothing else changes."""
    return _answer_canary(context, request, scanner_detection.record_email_visit(context.database, context.settings, token))


@router.get("/leave/{token}/canary")
def answer_issue_canary(context: Context, token: str, request: Request) -> Response:
    """Answer the hidden link of an issue's email."""
    return _answer_canary(context, request, scanner_detection.record_issue_visit(context.database, context.settings, token))


def _answer_canary(context: AppContext, request: Request, ours: bool) -> Response:
    if not ours:
        raise HTTPException(404)
    language = get_language(request)
    return render_message(
        context,
        language.say("Nothing to see here"),
        [language.say("This link is for bots that check the links in emails.")],
        lang=language.lang,
    )


def _save_choices(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    lang = forms.get_text(form, "lang")
    submitted, often = forms.clean_tags(form.getlist("tag")), forms.get_text(form, "frequency")
    preferences.save_choices(context.database, context.settings, person, submitted, often, lang, client_ip(request))
    language = get_language(request, lang)
    return _show_page(context, request, person, token, note=language.say("Saved."))


def _pause(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    until = preferences.pause_issues(context.database, person, forms.get_text(form, "months"), client_ip(request))
    note = language.say("Paused until %(date)s.", date=Localizer(language.lang).day(until))
    return _show_page(context, request, person, token, note=note)


def _resume(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    preferences.resume_issues(context.database, person, client_ip(request))
    return _show_page(
        context, request, person, token, note=language.say("Your pause is over. You’ll get the next issue by email.")
    )


def _unsubscribe(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    preferences.unsubscribe(context.database, person, client_ip(request))
    return _show_page(context, request, person, token, note=language.say("You’ve unsubscribed. You won’t get any more issues."))


def _send_link(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    preferences.send_fresh_link(context.database, person)
    note = language.say("If your address can get our emails, we’ve sent you the link. No email yet? Try again in ten minutes.")
    response = _show_page(context, request, person, token, note=note)
    response.background = BackgroundTask(context.wake_transactional)
    return response


def _change_address(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    email = forms.read_signup(form).email
    if find_post_origin(request, context.settings) is PostOrigin.OTHER:
        return _show_page(context, request, person, token, NOT_ACCEPTED, note=language.say(PRESS_AGAIN), typed=email)
    change_of_address.request_change(context.database, person, email, client_ip(request))
    response = _show_page(
        context, request, person, token, note=language.say("Check the inbox of your new address and confirm there.")
    )
    response.background = BackgroundTask(context.wake_transactional)
    return response


def _export(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    kept = preferences.export_data(context.database, person)
    body = json.dumps(kept, indent=2, ensure_ascii=False, default=_to_json)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="what-is-kept-about-me.json"'}
    return Response(body, 200, headers, "application/json")


def _erase(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    preferences.erase_subscriber(context.database, context.settings, person)
    sentences = [language.say("All your data has been deleted. You can subscribe again at any time.")]
    return render_message(context, language.say("Deleted"), sentences, lang=language.lang)


def _renew_links(
    context: AppContext, person: LinkOwner, token: str, form: FormData, request: Request, language: PageLanguage
) -> Response:
    preferences.renew_links(context.database, person)
    return confirm_renewal(context, language)


def confirm_renewal(context: AppContext, language: PageLanguage) -> Response:
    """Tell a subscriber that their links were renewed: the new one comes by email, never in a response."""
    say = language.say
    sentences = [
        say("Your private links have been replaced. The old ones no longer work."),
        say("If your address can get our emails, we’ve sent you a new link."),
    ]
    response = render_message(context, say("Check your inbox"), sentences, lang=language.lang)
    response.background = BackgroundTask(context.wake_transactional)
    return response


_Action = Callable[[AppContext, LinkOwner, str, FormData, Request, PageLanguage], Response]
_ACTIONS: dict[str, _Action] = {
    "choose": _save_choices,
    "pause": _pause,
    "resume": _resume,
    "leave": _unsubscribe,
    "link": _send_link,
    "links": _renew_links,
    "address": _change_address,
    "export": _export,
    "erase": _erase,
}


def _show_page(
    context: AppContext,
    request: Request,
    person: LinkOwner,
    token: str,
    status: int = 200,
    note: str = "",
    error: str = "",
    typed: str = "",
    at: str = "",
) -> Response:
    subscriber = preferences.get_choices(context.database, person)
    language = get_language(request, subscriber.lang if subscriber else "")
    if subscriber is None:
        sentences = [language.say("We no longer store anything about this address.")]
        return render_message(context, language.say("There’s nothing here"), sentences, 404, lang=language.lang)
    return render_page(
        context,
        "reader.html",
        status,
        language.lang,
        subscriber=subscriber,
        whole=person.has_full_access,
        token=token,
        note=note,
        error=error,
        typed=typed,
        at=at,
        topics=preferences.list_topics(context.settings, subscriber),
        until=_pause_end(subscriber, language.lang),
        months=PAUSE_MONTHS,
        languages=preferences.list_languages(context.database, subscriber),
        paid_link=paid_content.build_page_link(context.database, context.settings, person),
        pays=subscription_changes.is_charged(context.database, person.subscriber_id),
    )


def _pause_end(subscriber: SubscriberChoices, lang: str) -> str:
    """The date on which a pause ends, or '' without a pause."""
    if subscriber.paused_until is None or subscriber.paused_until <= datetime.now(UTC):
        return ""
    return Localizer(lang).day(subscriber.paused_until)


def _invalid_link(context: AppContext, language: PageLanguage) -> Response:
    sentences = [language.say("It’s more than a day old, newer links have replaced it, or part of it is missing.")]
    return render_message(
        context,
        language.say("This link no longer works"),
        sentences,
        400,
        lang=language.lang,
        href="/reader",
        label=language.say("Get a new link"),
    )


def _invalid_address_link(context: AppContext, language: PageLanguage) -> Response:
    sentences = [
        language.say("It’s too old, part of it is missing, or your new address already has a subscription of its own."),
    ]
    return render_message(
        context,
        language.say("This link no longer works"),
        sentences,
        400,
        lang=language.lang,
        href="/reader",
        label=language.say("Get a link to your page"),
    )


def _to_json(value: Any) -> str:
    """Convert what JSON cannot express: times to ISO 8601, bytes to hexadecimal."""
    if isinstance(value, memoryview | bytes):
        return bytes(value).hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
