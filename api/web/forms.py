"""What people send with our forms, read leniently: a field that is missing is empty."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from mailer.core import tokens
from mailer.core.errors import Mistyped

MAX_TAGS = 20
MAX_TAG_CHARS = 100  # characters
MIN_FORM_AGE = timedelta(seconds=2)  # nobody fills a form in faster
MAX_FORM_AGE = timedelta(hours=24)
MIN_ANSWER_SECONDS = 0.05  # seconds that an answer takes at least which must not tell by its time whom we know


class FormAge(StrEnum):
    """How old a form is when it comes back."""

    GOOD = "good"
    YOUNG = "young"
    STALE = "stale"


@dataclass(frozen=True)
class SignupForm:
    """What somebody who subscribes wrote. ``website`` is the honeypot: people leave it empty.

    ``sure`` is the address that they were asked about before: it is as they mean it. ``page`` is where they first met a form.
    """

    email: str
    tags: tuple[str, ...]
    website: str = ""
    token: str = ""
    sure: str = ""
    page: str = ""


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
    """The fields of a sign-up form; a press on "I meant this address" goes before what stands in the field."""
    email = (get_text(form, "meant") or get_text(form, "email"))[:320].strip()
    tags = clean_tags(form.getlist("tag"))
    return SignupForm(
        email,
        tags,
        get_text(form, "website"),
        get_text(form, "token"),
        get_text(form, "sure"),
        _keep_printable(get_text(form, "page")),
    )


def _keep_printable(text_: str) -> str:
    """At most 300 signs that can be read and kept."""
    return "".join(sign for sign in text_[:300] if sign.isprintable())


def clean_tags(given: Iterable[object]) -> tuple[str, ...]:
    """Tags as written, without blanks and doubles."""
    flat = (" ".join(tag.split()) for tag in given if isinstance(tag, str))
    return tuple(dict.fromkeys(tag for tag in flat if tag))


def check_tags(tags: tuple[str, ...]) -> None:
    """Raises Mistyped when a form holds tags that none of our pages wrote."""
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARS or not tag.isprintable() for tag in tags):
        raise Mistyped("The topics of this form cannot be read: open the page of a topic and subscribe there.", field="tag")


def check_age(secret: str, token: str) -> FormAge:
    """How old the form with this token is; one that is not ours is stale."""
    now = datetime.now(UTC)
    if tokens.check_form(secret, token, now, MIN_FORM_AGE, MAX_FORM_AGE):
        return FormAge.GOOD
    return FormAge.YOUNG if tokens.check_form(secret, token, now, timedelta(0), MIN_FORM_AGE) else FormAge.STALE


def equalize_timing(began: float) -> None:
    """Wait until the answer to a form that ``began`` (``time.monotonic``) takes as long as every other."""
    time.sleep(max(0.0, began + MIN_ANSWER_SECONDS - time.monotonic()))


def is_one_click(form: FormData) -> bool:
    """Is this the POST of a mail program (RFC 8058) and not of our page's button?"""
    return get_text(form, "List-Unsubscribe") == "One-Click"


def get_text(form: FormData, name: str) -> str:
    """A field's text; '' when it is missing or a file."""
    value = form.get(name)
    return value if isinstance(value, str) else ""
