"""Gmail clips an email's HTML at about 102 KB. As configured, we warn, refuse, or cut it at a heading and link to the rest."""

from __future__ import annotations

import re
from dataclasses import replace

from lxml import html
from lxml.html import HtmlElement

from mailer.core import i18n
from mailer.editions.mail.canonical_html import escape
from mailer.editions.mail.email_document import EmailDocument, render_html

MAX_HTML_BYTES = 102 * 1024  # Gmail shows no more of an email
_RESERVED_BYTES = 1024  # for the subscriber's own unsubscribe link
_REST = '<p class="rest" lang="{lang}" dir="ltr"><a href="{url}">{words}</a></p>\n'


def clip_email(document: EmailDocument) -> tuple[str, str]:
    """Render the HTML part of an email, cut if it is too long and so configured; return also the heading at which it was
    cut, or another name of the place: empty if it is whole."""
    whole = render_html(document)
    if document.site.clip != "cut" or count_bytes(whole) <= MAX_HTML_BYTES - _RESERVED_BYTES:
        return whole, ""
    blocks = _blocks(document.body)
    headings = [at for at, block in enumerate(blocks) if at and re.fullmatch("h[1-4]", str(block.tag))]
    for places in (headings, list(range(1, len(blocks)))):
        made, at = _longest(document, blocks, places)
        if made:
            return made, " ".join(blocks[at].text_content().split())[:60] or "a picture"
    return _made(document, [], document.url), "everything"


def count_bytes(made: str) -> int:
    """Return the size in bytes."""
    return len(made.encode())


def judge_size(bytes_of_html: int, before: str, mode: str) -> tuple[str, str] | None:
    """Describe a problem with an email's length: a level and a sentence, or None."""
    kilobytes = f"{bytes_of_html / 1024:.0f}"
    if before:
        return "warning", f"The email was too long for Gmail: it ends before “{before}”, with a link to the rest on the web."
    if bytes_of_html <= MAX_HTML_BYTES:
        return None
    if mode == "refuse":
        return (
            "error",
            f"The email has {kilobytes} KB of HTML, and Gmail shows only 102 KB: shorten it, or set POSTMERGE_CLIP = 'cut'.",
        )
    return (
        "warning",
        f"The email has {kilobytes} KB of HTML, and Gmail clips it at 102 KB: shorten it, or set POSTMERGE_CLIP = 'cut'.",
    )


def _longest(document: EmailDocument, blocks: list[HtmlElement], places: list[int]) -> tuple[str, int]:
    """Find the longest email that ends at one of the places and fits, by bisection; "" if none fits."""
    best, at, low, high = "", 0, 0, len(places) - 1
    while low <= high:
        middle = (low + high) // 2
        made = _made(document, blocks[: places[middle]], _rest_url(document.url, blocks[places[middle]]))
        if count_bytes(made) <= MAX_HTML_BYTES - _RESERVED_BYTES:
            best, at, low = made, places[middle], middle + 1
        else:
            high = middle - 1
    return best, at


def _made(document: EmailDocument, blocks: list[HtmlElement], url: str) -> str:
    kept = "".join(html.tostring(block, encoding="unicode", method="html") for block in blocks)
    lang = i18n.spoken(document.lang)
    say = i18n.translator(lang)
    rest = _REST.format(lang=lang, url=escape(url).replace('"', "%22"), words=escape(say("Read the rest on the web")))
    return render_html(replace(document, body=kept + rest))


def _rest_url(url: str, block: HtmlElement) -> str:
    name = block.get("id")
    return f"{url}#{name}" if name and re.fullmatch(r"[\w.-]+", name) else url


def _blocks(body: str) -> list[HtmlElement]:
    """List the top-level elements; loose text between them becomes a paragraph."""
    return [
        piece if not isinstance(piece, str) else html.fromstring(f"<p>{escape(piece)}</p>")
        for piece in html.fragments_fromstring(body)
    ]
