"""Parses submitted forms leniently: a missing field is empty."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext, client_ip
from api.common.request_origin import PostOrigin, find_post_origin
from mailer.core import tokens
from mailer.core.errors import BadInput, Mistyped, TooManyRequests, Unavailable
from mailer.core.form_fields import PREFIX
from mailer.exchange.cell_values import MAX_TAG_CHARS
from mailer.flows.subscribers import challenge, signup_limits

MAX_TAGS_PER_FORM = 20
MIN_FORM_AGE = timedelta(seconds=2)  # nobody fills in a form faster
MAX_FORM_AGE = timedelta(hours=24)
MIN_ANSWER_SECONDS = 0.05  # of responses whose time must not reveal whether an address is known


NOT_ACCEPTED = 403  # the status of our page when a post was not recorded and needs another click


class FormAge(StrEnum):
    """The age of a form when it is submitted."""

    GOOD = "good"
    YOUNG = "young"
    STALE = "stale"


@dataclass(frozen=True)
class SignupForm:
    """The fields of a sign-up form. ``website`` is the honeypot: people leave it empty.

    ``sure`` is the address that was questioned before and is correct as typed. ``page`` is where the visitor first saw a
    form. ``answers`` are those to the newsletter's own fields, by name.
    """

    email: str
    tags: tuple[str, ...]
    website: str = ""
    token: str = ""
    sure: str = ""
    page: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


async def _form(request: Request) -> FormData:
    return await request.form()


async def _any_form(request: Request) -> FormData:
    try:
        return await request.form()
    except HTTPException:
        return FormData()


Form = Annotated[FormData, Depends(_form)]
AnyForm = Annotated[FormData, Depends(_any_form)]


def read_signup(form: FormData) -> SignupForm:
    """Read the fields of a sign-up form. The button "I meant this address" takes precedence over the address field."""
    email = (get_text(form, "meant") or get_text(form, "email"))[:320].strip()
    tags = clean_tags(form.getlist("tag"))
    return SignupForm(
        email,
        tags,
        get_text(form, "website"),
        get_text(form, "token"),
        get_text(form, "sure"),
        _keep_printable(get_text(form, "page")),
        {name.removeprefix(PREFIX): get_text(form, name) for name in form if name.startswith(PREFIX)},
    )


def _keep_printable(text_: str) -> str:
    """At most 300 printable characters."""
    return "".join(sign for sign in text_[:300] if sign.isprintable())


def clean_tags(given: Iterable[object]) -> tuple[str, ...]:
    """Tags without surplus spaces and duplicates."""
    flat = (" ".join(tag.split()) for tag in given if isinstance(tag, str))
    return tuple(dict.fromkeys(tag for tag in flat if tag))


def check_tags(tags: tuple[str, ...]) -> None:
    """Raise Mistyped when a form contains tags that none of our pages has."""
    if len(tags) > MAX_TAGS_PER_FORM or any(len(tag) > MAX_TAG_CHARS or not tag.isprintable() for tag in tags):
        raise Mistyped("This form’s topics aren’t valid. Open a topic’s page and subscribe there.", field="tag")


def check_age(secrets: tokens.Secrets, token: str) -> FormAge:
    """The age of the form with this token; a token that is not ours is stale."""
    now = datetime.now(UTC)
    if tokens.check_form(secrets, token, now, MIN_FORM_AGE, MAX_FORM_AGE):
        return FormAge.GOOD
    return FormAge.YOUNG if tokens.check_form(secrets, token, now, timedelta(0), MIN_FORM_AGE) else FormAge.STALE


def error_status(error: BadInput) -> int:
    """The HTTP status of the page that explains an error."""
    return 429 if isinstance(error, TooManyRequests) else 422


def check_post(context: AppContext, request: Request, token: str, needs_token: bool = True) -> FormAge:
    """Whether a post counts (GOOD), or our page is shown for another click, with this token (YOUNG) or a new one (STALE).

    A post from our own pages with a very new token, or without one unless ``needs_token``, counts within a few limits. One from
    another site, or whose token was used too often, never does.
    """
    posted_from = find_post_origin(request, context.settings)
    age = check_age(context.settings.need_secrets(), token)
    if posted_from is PostOrigin.OTHER:
        return FormAge.STALE
    is_own = posted_from is PostOrigin.OWN and (age is FormAge.YOUNG or not needs_token)
    if age is not FormAge.GOOD and not is_own:
        return age
    try:
        if age is not FormAge.STALE and not challenge.may_use_form(context.database, token):
            return FormAge.STALE
        if age is FormAge.GOOD or signup_limits.admit_unproven(context.database, client_ip(request)):
            return FormAge.GOOD
    except Unavailable:  # safe: whatever the form causes needs the same database
        return FormAge.GOOD
    return age


def equalize_timing(began: float) -> None:
    """Wait until the response to a form that ``began`` (``time.monotonic``) takes as long as every other."""
    time.sleep(max(0.0, began + MIN_ANSWER_SECONDS - time.monotonic()))


def is_one_click(form: FormData) -> bool:
    """Whether this is an email program's POST (RFC 8058), not our page's button."""
    return get_text(form, "List-Unsubscribe") == "One-Click"


def get_text(form: FormData, name: str) -> str:
    """A field's text; '' when it is missing or a file."""
    value = form.get(name)
    return value if isinstance(value, str) else ""
