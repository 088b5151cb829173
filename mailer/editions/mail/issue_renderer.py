"""Render one issue: its body, its digest, the two parts of its email, a table of contents, a preheader."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lxml import html

from mailer.core.characters import clean
from mailer.core.errors import PostmergeError
from mailer.core.message import has_placeholder
from mailer.editions.mail import email_document, gmail_clipping
from mailer.editions.mail.canonical_html import Body, canonical
from mailer.editions.mail.plain_text import plain
from mailer.editions.source.site_config import read_clip_setting

_LONG, _MANY = 6_000, 4  # characters of HTML, and headings: longer issues get a table of contents
_MAX_PREHEADER_CHARS = 110  # of the text, where `Preheader:` is missing
_ASIDE = " or ".join(f"contains(concat(' ', @class, ' '), ' {name} ')" for name in ("admonition", "footnote", "locked"))


class RenderJob(NamedTuple):
    """All that the email of one issue is rendered from; ``clip_mode`` is POSTMERGE_CLIP."""

    content: str
    url: str
    template: str
    title: str
    subject: str
    preheader: str
    lang: str
    date: Any
    site_name: str
    site_url: str
    postal_address: str
    clip_mode: str


def collect_job(article: Any, content: str, template: str, settings: Mapping[str, Any], postal_address: str) -> RenderJob:
    """Collect all that an issue is rendered from, for ``render_issue``."""
    asked_for, title = article.metadata, to_one_line(article.title)
    return RenderJob(
        content,
        article.postmerge_url,
        template,
        title,
        to_one_line(asked_for.get("subject") or "") or title,
        to_one_line(asked_for.get("preheader") or ""),
        article.lang,
        article.date,
        settings["SITENAME"],
        settings["SITEURL"],
        postal_address,
        read_clip_setting(settings.get("POSTMERGE_CLIP")),
    )


def to_one_line(value: Any) -> str:
    """Return a field as one line."""
    return " ".join(str(value).split())


def try_render_issue(job: RenderJob) -> dict[str, Any]:
    """Render an issue; if it cannot be rendered, ``failed`` is the reason. Raises BadInput for a broken template."""
    try:
        return render_issue(job)
    except PostmergeError:
        raise
    except Exception as error:
        return {"failed": describe_error(error)}


def describe_error(error: Exception) -> str:
    """Describe an exception in a few words."""
    return f"{type(error).__name__}: {error}"[:200]


def render_issue(job: RenderJob) -> dict[str, Any]:
    """Render the body, digest and email of one issue; plain data in and out, because it runs in another process."""
    try:
        body = canonical(job.content, job.url)
    except Exception as error:
        text = clean(job.content).replace("&", "&amp;").replace("<", "&lt;")
        body = Body(f"<pre>{text}</pre>\n", (f"HTML ({type(error).__name__})",))
    hexdigest = hashlib.sha256(body.html.encode()).hexdigest()
    plain_body = plain(body.html, job.lang)
    preheader = job.preheader or _beginning(body.html)
    if any(map(has_placeholder, (body.html, plain_body, job.title, job.subject, preheader, job.lang, job.url))):
        raise ValueError("it contains the placeholder of the unsubscribe link")
    document = email_document.EmailDocument(
        job.template, job.title, job.subject, preheader, job.lang, job.url, job.date, body.html, plain_body, hexdigest,
        job.site_name, job.site_url, job.postal_address,
    )  # fmt: skip
    made, text = gmail_clipping.clip_email(document, job.clip_mode), email_document.render_text(document)
    return {
        "body": body.html, "dropped": list(body.dropped), "digest": hexdigest, "subject": job.subject, "preheader": preheader,
        "html": made.html, "text": text, "size": gmail_clipping.count_bytes(made.html), "before": made.before,
    }  # fmt: skip


def list_headings(body: str) -> list[tuple[str, str]]:
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
