"""Render one issue: its body, its digest, the two parts of its email, a table of contents, a preheader."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lxml import etree

from mailer.core.characters import clean
from mailer.core.edition import Edition
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.message import has_placeholder
from mailer.editions.mail import email_document, gmail_clipping
from mailer.editions.mail.canonical_html import DROPPED, Body, canonical, parse_fragment, select, strip
from mailer.editions.mail.email_document import EmailDocument
from mailer.editions.mail.markdown_to_html import Cache, Workshop, digest, own_code
from mailer.editions.mail.plain_text import plain

_LONG, _MANY = 6_000, 4  # characters of HTML, and headings: longer issues get a table of contents
_MAX_PREHEADER_CHARS = 110  # of the text, where `Preheader:` is missing
_ASIDE = " or ".join(f"contains(concat(' ', @class, ' '), ' {name} ')" for name in ("admonition", "footnote", "locked"))
_FOOTNOTE_MARKS = etree.XPath("descendant::sup[a[contains(@class, 'footnote-ref')]]")
_PARAGRAPHS = etree.XPath(f"descendant::p[not(ancestor-or-self::*[{_ASIDE}])]")
_EMAIL = "-email"  # added to the cache's key of a text
_Job = tuple[EmailDocument, str, Cache]  # with the name of the email


@dataclass(frozen=True)
class RenderedText:
    """A text of an issue. Its email, of ``bytes_of_html``, stays outside of memory: ``email`` is its name for ``fill``.

    ``before`` is where the email was cut; ``dropped`` names what was removed from the body, each once; ``failed`` is why
    there is no text.
    """

    body: str = ""
    digest: str = ""
    preheader: str = ""
    email: str = ""
    bytes_of_html: int = 0
    before: str = ""
    dropped: Sequence[str] = ()
    failed: str = ""


def render_all(documents: Iterable[tuple[str, EmailDocument]], workshop: Workshop) -> dict[str, RenderedText]:
    """Render the documents, whose bodies are any HTML, from the cache or in all processors; return the texts by name."""
    salt, cache = own_code(), workshop.cache
    done: dict[str, RenderedText] = {}
    missing: dict[str, _Job] = {}
    for name, document in documents:
        key = digest(salt, repr(document))
        if (kept := cache.get(key)) and cache.has(kept["email"]):
            done[name] = RenderedText(**kept)
        else:
            missing[name] = document, key + _EMAIL, cache
    names = list(missing)
    made = workshop.workers.map(
        _try_render, [missing.pop(name) for name in names], chunk=8
    )  # and each is freed when it is done
    for number, (name, (one, email)) in enumerate(zip(names, made, strict=True), 1):
        done[name] = one
        if email:
            workshop.uncached[one.email] = email
        elif not one.failed:
            cache.put(one.email.removesuffix(_EMAIL), vars(one))
        if number % 20 == 0:
            workshop.progress(f"Rendering emails: {number} of {len(names)}")
    return done


def fill(edition: Edition, workshop: Workshop) -> Edition:
    """Return an edition with its emails, whose names are in place of their HTML. Raises BadInput if the cache lost one."""

    def read(name: str) -> tuple[str, str]:
        if email := workshop.uncached.get(name) or workshop.cache.get(name):
            return email[0], email[1]
        workshop.cache.remove(name)
        raise BadInput(f"A damaged file was removed from {workshop.cache.folder}: run `postmerge build` again.")

    html, text = read(edition.html)
    variants = [(one, *read(one.html)) for one in edition.variants]
    return replace(edition, html=html, text=text, variants=tuple(replace(one, html=h, text=t) for one, h, t in variants))


def describe_error(error: Exception) -> str:
    """Describe an exception in a few words."""
    return f"{type(error).__name__}: {error}"[:200]


def _try_render(job: _Job) -> tuple[RenderedText, tuple[str, str] | None]:
    """Render an issue, or say why not; return also the email if the cache cannot keep it. Raises BadInput for a broken
    template."""
    document, name, cache = job
    try:
        made, email = _render(document)
    except PostmergeError:
        raise
    except Exception as error:
        return RenderedText(failed=describe_error(error)), None
    return replace(made, email=name), None if cache.put(name, email) else email


def _render(document: EmailDocument) -> tuple[RenderedText, tuple[str, str]]:
    try:
        body = canonical(document.body, document.url)
    except Exception as error:
        text = clean(document.body).replace("&", "&amp;").replace("<", "&lt;")
        said = str(error) if type(error) is ValueError else f"HTML ({type(error).__name__})"
        body = Body(f"<pre>{text}</pre>\n", (said,))
    root = parse_fragment(body.html)
    document = replace(
        document,
        body=body.html,
        plain_body=plain(root, document.lang),
        digest=hashlib.sha256(body.html.encode()).hexdigest(),
        preheader=document.preheader or _beginning(root),
    )
    if any(has_placeholder(value) for value in vars(document).values() if isinstance(value, str)):
        raise ValueError("it contains the placeholder of the unsubscribe link")
    made, before = gmail_clipping.clip_email(document)
    text = email_document.render_text(document)
    size = gmail_clipping.count_bytes(made)
    rendered = RenderedText(body.html, document.digest, document.preheader, "", size, before, body.dropped)
    return rendered, (made, text)


def list_headings(body: str) -> list[tuple[str, str]]:
    """List the ids and plain text of a long issue's main headings, for a table of contents; none for a short one."""
    if len(body) < _LONG:
        return []
    for level in ("h2", "h1", "h3"):
        found = re.findall(rf'<{level}(?=[^<>]*\bid="([^"<>]+)")[^<>]*+>(.*?)</{level}>', body, re.DOTALL)
        if len(found) >= _MANY:
            return [(name, " ".join(re.sub("<[^<>]+>", "", text).split())) for name, text in found]
    return []


def _beginning(root: etree._Element) -> str:
    """Take the beginning of a body's paragraphs, for a preheader: no boxes, no footnotes, no footnote marks."""
    for mark in select(root, _FOOTNOTE_MARKS):
        mark.tag = DROPPED
    strip(root, DROPPED)
    paragraphs = select(root, _PARAGRAPHS) or list(root.iter("p"))
    flat = " ".join(" ".join("".join(map(str, p.itertext())) for p in paragraphs[:4]).split())
    flat = re.sub(r"\s*\[\d+\]", "", flat)
    if len(flat) <= _MAX_PREHEADER_CHARS:
        return flat
    whole = flat[:_MAX_PREHEADER_CHARS].rpartition(" ")[0]
    # Scripts without spaces between words are cut between characters.
    return (whole if len(whole) > _MAX_PREHEADER_CHARS // 2 else flat[:_MAX_PREHEADER_CHARS]) + "…"
