"""The two parts of an edition's mail: HTML from the theme's email template with its CSS inlined, and plain text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import css_inline
import jinja2
from markupsafe import Markup

from mailer.core import i18n
from mailer.core.errors import BadInput
from mailer.core.message import LEAVE_URL
from mailer.editions.mail.components import for_mail
from mailer.editions.mail.plain_text import heading
from mailer.editions.mail.template_errors import in_template

_RTL = {"ar", "arc", "dv", "fa", "ha", "he", "khw", "ks", "ku", "ps", "sd", "ug", "ur", "yi"}
FALLBACK = Path(__file__).parent.parent / "default_email.html"


@dataclass(frozen=True)
class Letter:
    """Everything the mail of one edition is made from; ``words`` is the body as plain text."""

    template: str
    title: str
    subject: str
    preheader: str
    lang: str
    url: str
    date: datetime
    body: str
    words: str
    digest: str
    site_name: str
    site_url: str
    postal_address: str


def template_source(theme: Path) -> str:
    """The theme's email template, or the plain one that comes with us."""
    own = theme / "templates" / "email" / "edition.html"
    return (own if own.is_file() else FALLBACK).read_text(encoding="utf-8")


def html_part(letter: Letter) -> str:
    """The HTML part: template, then CSS inlined; media queries stay in the style block."""
    facts = {**vars(letter), "body": Markup(for_mail(letter.body)), "dir": direction(letter.lang), "leave_url": LEAVE_URL}  # noqa: S704
    facts["join_url"] = join_url(letter.body)
    del facts["template"], facts["words"]
    facts |= {"_": marked(letter.lang), "words_lang": i18n.spoken(letter.lang), "day": i18n.day(letter.date, letter.lang)}
    try:
        made = _template(letter.template).render(facts)
    except jinja2.TemplateError as error:
        line = in_template(error)[1]
        raise BadInput(
            f"The email template has an error ({error}): correct theme/templates/email/edition.html, line {line}."
        ) from error
    return _inliner().inline(made)


def text_part(letter: Letter) -> str:
    """The text part, with the same content in the same order."""
    say = i18n.translator(i18n.spoken(letter.lang))
    more = f"{say('Become a paid subscriber')}: {join}\n\n" if (join := join_url(letter.body)) else ""
    why = say("You’re getting this email because you subscribed to %(site)s.", site=letter.site_name)
    return (
        f"{heading(letter.title)}\n{letter.site_name}, {i18n.day(letter.date, letter.lang)}\n"
        f"{say('Read on the web')}: {letter.url}\n\n{letter.words}\n-- \n"
        f"{why}\n{letter.site_name}\n{letter.postal_address}\n\n{say('Unsubscribe')}: {LEAVE_URL}\n\n{more}"
        f"Digest: {letter.digest}\n"
    )


def join_url(body: str) -> str:
    """Where the reader of a body can pay for what was left out of it; empty when nothing was."""
    found = re.search(r'<p class="locked">(?:(?!<p class="locked">).)*?<a href="([^"]+)"', body)
    return html.unescape(found[1]) if found else ""


def direction(lang: str) -> str:
    """``rtl`` or ``ltr``."""
    return "rtl" if lang.lower().partition("-")[0] in _RTL else "ltr"


def marked(lang: str) -> Callable[..., Markup]:
    """``say(text, **values)`` for templates, in the language of a text: our words are markup, what is filled in is escaped."""
    say = i18n.translator(i18n.spoken(lang))
    return lambda text, **values: Markup(say(text)) % values if values else Markup(say(text))  # noqa: S704


@cache
def _template(source: str) -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)


@cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
