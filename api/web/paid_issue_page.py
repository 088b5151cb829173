"""Paid issues in full: pages and a feed behind a subscriber's private link, never cached between us."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.common.content_policy import allow
from api.common.dependencies import AppContext, Context
from api.common.language import PageLanguage, get_language
from api.common.render import HEADERS, render_message, render_page
from api.web import paid_feed
from mailer.flows.billing import paid_content
from mailer.flows.billing.billing_text import Localizer

router = APIRouter(include_in_schema=False)


@router.get("/read/{token}")
def show_paid_issues(context: Context, token: str, request: Request) -> Response:
    """List the issues that paying subscribers can read in full."""
    subscriber = paid_content.authenticate(context.database, context.settings, token)
    language = get_language(request, subscriber.lang if subscriber else "")
    if subscriber is None:
        return _closed(context, language)
    issues = paid_content.list_issues(context.database, subscriber.lang)
    return make_private(
        render_page(
            context, "paid_issues.html", 200, language.lang, issues=issues, token=token, day=Localizer(language.lang).day
        )
    )


@router.get("/read/{token}/feed.xml")
def show_feed(context: Context, token: str, request: Request) -> Response:
    """Return a subscriber's private feed with the full text."""
    subscriber = paid_content.authenticate(context.database, context.settings, token)
    if subscriber is None:
        return _closed(context, get_language(request))
    base = f"{context.settings.api_url}/read/{token}"
    data = paid_feed.render_atom(context.site_name, base, paid_content.list_issues(context.database, subscriber.lang))
    return make_private(Response(data, 200, HEADERS, "application/atom+xml"))


@router.get("/read/{token}/{key:path}")
def show_paid_issue(context: Context, token: str, key: str, request: Request) -> Response:
    """Show one issue in full."""
    subscriber = paid_content.authenticate(context.database, context.settings, token)
    language = get_language(request, subscriber.lang if subscriber else "")
    if subscriber is None:
        return _closed(context, language)
    found = paid_content.find_issue(context.database, key, subscriber.lang)
    if found is None:
        say = language.say
        sentences = [say("We haven’t sent an issue with this name.")]
        return render_message(
            context, say("Issue not found"), sentences, 404, language.lang, href=context.home, label=say("Go to the archive")
        )
    response = render_page(
        context, "paid_issue.html", 200, language.lang, issue=found, token=token, day=Localizer(language.lang).day
    )
    allow(response, img_src="https: http:")
    return make_private(response)


def make_private(response: Response) -> Response:
    """Forbid shared caches to store this response."""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _closed(context: AppContext, language: PageLanguage) -> Response:
    say = language.say
    sentences = [
        say("This page is for paid subscribers, and this link no longer works. Open your page from one of our emails.")
    ]
    return render_message(
        context, say("No access"), sentences, 403, language.lang, href="/join", label=say("Subscribe to read on")
    )
