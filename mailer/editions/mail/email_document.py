"""The two parts of an edition's email: HTML from the theme's email template with its CSS inlined, and plain text."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

import css_inline
import jinja2
from markupsafe import Markup

from mailer.core import i18n
from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.editions.mail.byline import IssueAuthor, format_byline, format_plain_byline
from mailer.editions.mail.components import for_email
from mailer.editions.mail.plain_text import heading
from mailer.editions.mail.template_errors import in_template

SHORT_DIGEST_CHARS = 12  # of a digest, where people see it
FALLBACK = Path(__file__).parent.parent / "default_email.html"


@dataclass(frozen=True)
class EmailSite:
    """What all emails of a site share; ``clip`` is POSTMERGE_CLIP, ``api_url`` the address of the forms."""

    template: str
    name: str
    url: str
    postal_address: str
    clip: str
    api_url: str = ""


@dataclass(frozen=True)
class EmailDocument:
    """One text of an issue. ``plain_body`` (the body as plain text) and ``digest`` are made from the canonical body."""

    site: EmailSite
    title: str
    subject: str
    preheader: str
    lang: str
    url: str
    date: datetime | None  # None: a step of a sequence
    body: str
    plain_body: str = ""
    digest: str = ""
    authors: tuple[IssueAuthor, ...] = ()
    invites_reply: bool = False
    price: str = ""  # of the plan that gives access to paid text

    @property
    def verify_url(self) -> str:
        """Return the address of the receipt."""
        return receipt_url(self.site.api_url or self.site.url, self.digest)


def template_source(theme: Path) -> str:
    """Return the theme's email template, or our default."""
    own = theme / "templates" / "email" / "edition.html"
    return (own if own.is_file() else FALLBACK).read_text(encoding="utf-8")


def render_html(document: EmailDocument) -> str:
    """Render the HTML part: the template, then CSS inlined; media queries stay in the style block."""
    facts = {
        **vars(document),
        "site_name": document.site.name,
        "site_url": document.site.url,
        "postal_address": document.site.postal_address,
        "body": Markup(for_email(document.body)),  # noqa: S704
        "dir": i18n.direction(document.lang),
        "unsubscribe_url": UNSUBSCRIBE_URL,
        "join_url": join_url(document.body),
        "byline": format_byline(document.authors, document.lang),
        "verify_url": document.verify_url,
        "_": make_say(document.lang),
        "words_lang": i18n.spoken(document.lang),
        "words_dir": i18n.direction(i18n.spoken(document.lang)),
        "day": i18n.day(document.date, document.lang) if document.date else "",
    }
    try:
        made = _template(document.site.template).render(facts)
    except jinja2.TemplateError as error:
        line = in_template(error)[1]
        raise BadInput(
            f"The email template has an error ({error}): correct theme/templates/email/edition.html, line {line}."
        ) from error
    return _inliner().inline(made)


def render_text(document: EmailDocument) -> str:
    """Render the text part, with the same content in the same order."""
    say, site = i18n.translator(i18n.spoken(document.lang)), document.site
    read, unsubscribe, subscribe = say("Read on the web"), say("Unsubscribe"), say("Become a paid subscriber")
    price = f" ({document.price})" if document.price else ""
    more = f"{subscribe}{price}: {join}\n\n" if (join := join_url(document.body)) else ""
    why = say("You’re getting this email because you subscribed to %(site)s.", site=site.name)
    day = f", {i18n.day(document.date, document.lang)}" if document.date else ""
    reply = f"{say('Have a question or a thought? Just reply to this email.')}\n\n" if document.invites_reply else ""
    return (
        f"{heading(document.title)}\n{format_plain_byline(document.authors, document.lang)}{site.name}{day}\n"
        f"{read}: {document.url}\n\n{document.plain_body}\n-- \n"
        f"{reply}{why}\n{site.name}\n{site.postal_address}\n\n{unsubscribe}: {UNSUBSCRIBE_URL}\n\n{more}"
        f"SHA-256: {document.digest[:SHORT_DIGEST_CHARS]}\n{say('Verify')}: {document.verify_url}\n"
    )


def receipt_url(api_url: str, digest: str, page: str = "") -> str:
    """Return the address of the receipt for a text; ``page`` finds it when the text was edited since."""
    return f"{api_url}/receipts/{digest}{'?page=' + quote(page, safe='') if page else ''}"


def join_url(body: str) -> str:
    """Return the URL where the paid part of a body is sold; empty if nothing was removed from it."""
    found = re.search(r'<p class="locked">(?:(?!<p class="locked">).)*?<a href="([^"]+)"', body)
    return html.unescape(found[1]) if found else ""


def make_say(lang: str) -> i18n.Say:
    """Return ``say(text, **values)`` for templates, in a text's language: our words are markup, values are escaped."""
    return i18n.translator(i18n.spoken(lang), Markup)


@cache
def _template(source: str) -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)


@cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
