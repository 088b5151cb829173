"""The pages that links in test emails lead to: a reviewer's confirmation, and the page that a test's unsubscribe link opens."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.common.dependencies import AppContext, Context
from api.common.language import get_language
from api.common.render import render_message, render_page
from mailer.core import addresses
from mailer.core.i18n import N_
from mailer.flows.transactional import test_emails
from mailer.flows.transactional.test_emails import UNSUBSCRIBE_TOKEN

router = APIRouter(include_in_schema=False)


@router.get("/reviewers/{token}")
def show_reviewer(context: Context, token: str, request: Request) -> Response:
    """Ask the owner of an address whether they want test emails."""
    email = test_emails.find_reviewer(context.database, context.settings, token)
    if not email:
        return _explain_invalid_link(context, request)
    language = get_language(request)
    say = language.say
    return render_page(
        context,
        "yes.html",
        lang=language.lang,
        title=say("Get test emails from %(site)s?", site=context.site_name),
        label=say("Yes, send me test emails"),
        small=say("Issues then reach %(address)s before they’re published.", address=addresses.mask(email)),
    )


@router.post("/reviewers/{token}")
def prove_reviewer(context: Context, token: str, request: Request) -> Response:
    """Record the confirmation; repeating it changes nothing."""
    if not test_emails.prove_reviewer(context.database, context.settings, token):
        return _explain_invalid_link(context, request)
    return _tell(context, request, N_("You’ll get test emails"), N_("Whoever prepares an issue can send it to you now."))


@router.get(f"/leave/{UNSUBSCRIBE_TOKEN}")
@router.post(f"/leave/{UNSUBSCRIBE_TOKEN}")
@router.get(f"/leave/{UNSUBSCRIBE_TOKEN}/canary")
def explain_test_unsubscribe(context: Context, request: Request) -> Response:
    """Say that the link in a test email changes nothing."""
    said = N_("Its unsubscribe link changes nothing. In the emails that subscribers get, it unsubscribes them.")
    return _tell(context, request, N_("This was a test email"), said)


def _explain_invalid_link(context: AppContext, request: Request) -> Response:
    said = N_("It may be too old. Ask whoever prepares the issue to send it to you again.")
    return _tell(context, request, N_("This link no longer works"), said, 404)


def _tell(context: AppContext, request: Request, title: str, sentence: str, status: int = 200) -> Response:
    language = get_language(request)
    return render_message(context, language.say(title), [language.say(sentence)], status, lang=language.lang)
