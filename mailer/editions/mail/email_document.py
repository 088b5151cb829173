"""The two parts of an edition's email: HTML from the theme's email template with its CSS inlined, and plain text."""

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
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.editions.mail.components import for_email
from mailer.editions.mail.plain_text import heading
from mailer.editions.mail.template_errors import in_template

_RTL = {"ar", "arc", "dv", "fa", "ha", "he", "khw", "ks", "ku", "ps", "sd", "ug", "ur", "yi"}
FALLBACK = Path(__file__).parent.parent / "default_email.html"


@dataclass(frozen=True)
class EmailDocument:
    """All that the email of one edition is made from; ``plain_body`` is the body as plain text."""

    template: str
    title: str
    subject: str
    preheader: str
    lang: str
    url: str
    date: datetime
    body: str
    plain_body: str
    digest: str
    site_name: str
    site_url: str
    postal_address: str


def template_source(theme: Path) -> str:
    """Return the theme's email template, or our default."""
    own = theme / "templates" / "email" / "edition.html"
    return (own if own.is_file() else FALLBACK).read_text(encoding="utf-8")


def render_html(document: EmailDocument) -> str:
    """Render the HTML part: the template, then CSS inlined; media queries stay in the style block."""
    facts = {
        **vars(document),
        "body": Markup(for_email(document.body)),  # noqa: S704
        "dir": direction(document.lang),
        "unsubscribe_url": UNSUBSCRIBE_URL,
    }
    facts["join_url"] = join_url(document.body)
    del facts["template"], facts["plain_body"]
    facts |= {
        "_": make_say(document.lang),
        "words_lang": i18n.spoken(document.lang),
        "day": i18n.day(document.date, document.lang),
    }
    try:
        made = _template(document.template).render(facts)
    except jinja2.TemplateError as error:
        line = in_template(error)[1]
        raise BadInput(
            f"The email template has an error ({error}): correct theme/templates/email/edition.html, line {line}."
        ) from error
    return _inliner().inline(made)


def render_text(document: EmailDocument) -> str:
    """Render the text part, with the same content in the same order."""
    say = i18n.translator(i18n.spoken(document.lang))
    more = f"{say('Become a paid subscriber')}: {join}\n\n" if (join := join_url(document.body)) else ""
    why = say("You’re getting this email because you subscribed to %(site)s.", site=document.site_name)
    return (
        f"{heading(document.title)}\n{document.site_name}, {i18n.day(document.date, document.lang)}\n"
        f"{say('Read on the web')}: {document.url}\n\n{document.plain_body}\n-- \n"
        f"{why}\n{document.site_name}\n{document.postal_address}\n\n{say('Unsubscribe')}: {UNSUBSCRIBE_URL}\n\n{more}"
        f"Digest: {document.digest}\n"
    )


def join_url(body: str) -> str:
    """Return the URL where the paid part of a body is sold; empty if nothing was removed from it."""
    found = re.search(r'<p class="locked">(?:(?!<p class="locked">).)*?<a href="([^"]+)"', body)
    return html.unescape(found[1]) if found else ""


def direction(lang: str) -> str:
    """Return ``rtl`` or ``ltr``."""
    return "rtl" if lang.lower().partition("-")[0] in _RTL else "ltr"


def make_say(lang: str) -> Callable[..., Markup]:
    """Return ``say(text, **values)`` for templates, in a text's language: our words are markup, values are escaped."""
    say = i18n.translator(i18n.spoken(lang))
    return lambda text, **values: Markup(say(text)) % values if values else Markup(say(text))  # noqa: S704


@cache
def _template(source: str) -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)


@cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
