"""Render one issue: its body, its digest, the two parts of its email, a table of contents, a preheader."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from lxml import html

from mailer.core.characters import clean
from mailer.core.errors import PostmergeError
from mailer.core.message import has_placeholder
from mailer.editions.mail import gmail_clipping, mail_document
from mailer.editions.mail.canonical_html import Body, canonical
from mailer.editions.mail.plain_text import plain
from mailer.editions.source.site_config import read_clip_setting

_LONG, _MANY = 6_000, 4  # characters of HTML, and headings: longer issues get a table of contents
_MAX_PREHEADER_CHARS = 110  # of the text, where `Preheader:` is missing
_ASIDE = " or ".join(f"contains(concat(' ', @class, ' '), ' {name} ')" for name in ("admonition", "footnote", "locked"))


def job(article: Any, content: str, template: str, settings: Mapping[str, Any], postal_address: str) -> tuple[Any, ...]:
    """Collect all that an issue is rendered from, for ``make``."""
    asked_for, title = article.metadata, flat(article.title)
    return (
        content,
        article.postmerge_url,
        template,
        title,
        flat(asked_for.get("subject") or "") or title,
        flat(asked_for.get("preheader") or ""),
        article.lang,
        article.date,
        settings["SITENAME"],
        settings["SITEURL"],
        postal_address,
        read_clip_setting(settings.get("POSTMERGE_CLIP")),
    )


def flat(value: Any) -> str:
    """Return a field as one line."""
    return " ".join(str(value).split())


def attempt(job: tuple[Any, ...]) -> dict[str, Any]:
    """Render like ``make``; if an issue cannot be rendered, ``failed`` is the reason. Raises BadInput for a broken template."""
    try:
        return make(job)
    except PostmergeError:
        raise
    except Exception as error:
        return {"failed": said(error)}


def said(error: Exception) -> str:
    """Describe an exception in a few words."""
    return f"{type(error).__name__}: {error}"[:200]


def make(job: tuple[Any, ...]) -> dict[str, Any]:
    """Render the body, digest and email of one issue; plain data in and out, because it runs in another process."""
    content, url, template, title, subject, preheader, lang, date, site_name, site_url, postal_address, mode = job
    try:
        body = canonical(content, url)
    except Exception as error:
        text = clean(content).replace("&", "&amp;").replace("<", "&lt;")
        body = Body(f"<pre>{text}</pre>\n", (f"HTML ({type(error).__name__})",))
    hexdigest = hashlib.sha256(body.html.encode()).hexdigest()
    words = plain(body.html, lang)
    preheader = preheader or _beginning(body.html)
    if any(map(has_placeholder, (body.html, words, title, subject, preheader, lang, url))):
        raise ValueError("it contains the placeholder of the unsubscribe link")
    document = mail_document.EmailDocument(
        template, title, subject, preheader, lang, url, date, body.html, words, hexdigest, site_name, site_url, postal_address
    )
    made, text = gmail_clipping.clipped(document, mode), mail_document.text_part(document)
    return {
        "body": body.html, "dropped": list(body.dropped), "digest": hexdigest, "subject": subject, "preheader": preheader,
        "html": made.html, "text": text, "size": gmail_clipping.size(made.html), "before": made.before,
    }  # fmt: skip


def headings(body: str) -> list[tuple[str, str]]:
    """List the ids and plain text of a long issue's main headings, for a table of contents; none for a short one."""
    if len(body) < _LONG:
        return []
    for level in ("h2", "h1", "h3"):
        found = re.findall(rf'<{level}(?=[^<>]*\bid="([^"<>]+)")[^<>]*+>(.*?)</{level}>', body, re.DOTALL)
        if len(found) >= _MANY:
            return [(name, " ".join(re.sub("<[^<>]+>", "", text).split())) for name, text in found]
    return []


def _beginning(body: str) -> str:
    """Return the beginning of a body's paragraphs, for a preheader: no boxes, no footnotes, no footnote marks."""
    root = html.fragment_fromstring(body, create_parent="div")
    for mark in root.xpath("//sup[a[contains(@class, 'footnote-ref')]]"):
        mark.drop_tree()
    paragraphs = root.xpath(f"//p[not(ancestor-or-self::*[{_ASIDE}])]") or list(root.iter("p"))
    flat = " ".join(" ".join("".join(map(str, p.itertext())) for p in paragraphs[:4]).split())
    flat = re.sub(r"\s*\[\d+\]", "", flat)
    if len(flat) <= _MAX_PREHEADER_CHARS:
        return flat
    whole = flat[:_MAX_PREHEADER_CHARS].rpartition(" ")[0]
    # Scripts without spaces between words are cut between characters.
    return (whole if len(whole) > _MAX_PREHEADER_CHARS // 2 else flat[:_MAX_PREHEADER_CHARS]) + "…"
