"""Checks of the text and its markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from mailer.checks.context import Context
from mailer.checks.document import Document
from mailer.checks.registry import Fix, Found, check
from mailer.editions.mail import gmail_clipping
from mailer.editions.mail.canonical_html import REMOVED_ELEMENTS

_NEARLY_CLIPPED_BYTES = 0.9 * gmail_clipping.MAX_HTML_BYTES
_UNSUPPORTED_ELEMENTS = {"svg", "video", "audio", "canvas", "math", "dialog"}
_RUNS_ON = re.compile(  # an address that runs into the text, without ) until the paragraph's end
    r"\]\(https?:[^\s()<>]+[ \t]+(?![\"'(])[^()\s](?=(?:[^()\n]|\n(?![ \t]*\n))*(?:\n[ \t]*\n|\Z))"
)
_APART = re.compile(  # a text and its address apart; not a task box, a footnote, a number, or an existing link
    r"\[(?<![\\\]\w]\[)(?![ \txX]?\]|\^|\d+\]|sic\])([^\[\]\n]*[^\[\]\n\\])\][ \t]+\((https?://[^\s()]+\))"
)
_TABLE = re.compile(r"^[ \t]*+(?:\|[ \t]*+)?:?-{3,}+:?[ \t]*+\|", re.MULTILINE)
_TABLE_ROW = re.compile(r"^(?![ \t]*(?:[-*+]|\d+[.)])[ \t]+[^|\s]).*\|.*$", re.MULTILINE)
MAX_PARAGRAPH_CHARS = 2_000  # that are searched for the end of an address
_TABLE_CELL = re.compile(r"(?<!\\)\|")


@check("heading-jump", "warning", "A heading that skips a level, which confuses people who use a screen reader.")
def heading_jump(doc: Document, ctx: Context) -> Iterator[Found]:
    for before, after in pairwise(doc.headings):
        if after.level > before.level + 1:
            how = f"write {'#' * (before.level + 1)} before “{after.text[:40]}”"
            yield Found(after.at, f"The heading skips from level {before.level} to {after.level}: {how}.")


@check("spelling", "warning", "A name spelled differently in the word list (`words.txt` next to `pelicanconf.py`).")
def spelling(doc: Document, ctx: Context) -> Iterator[Found]:
    text = doc.bare if ctx.words else ""
    for pattern, right in ctx.words:
        for match in pattern.finditer(text):
            yield Found(
                match.start(),
                f"“{match[0]}” is spelled {right} in the word list: correct it.",
                Fix(match.start(), match.end(), right),
            )


@check("html-forbidden", "error", "HTML that is removed from pages and emails: scripts, forms, frames, event handlers.")
def html_forbidden(doc: Document, ctx: Context) -> Iterator[Found]:
    for tag in doc.tags:
        if tag.closing:
            continue
        if tag.name in REMOVED_ELEMENTS:
            yield Found(tag.at, f"<{tag.name}> is removed from pages and emails: write it in Markdown.")
        for name, (value, at) in tag.attributes.items():
            if name.startswith("on") and value:
                yield Found(at, f"{name}= is removed from pages and emails: delete it.")


@check("html-email", "warning", "HTML that email programs can't display: SVG, video, audio.")
def html_email(doc: Document, ctx: Context) -> Iterator[Found]:
    for tag in doc.tags:
        if tag.name in _UNSUPPORTED_ELEMENTS and not tag.closing and doc.asks:
            yield Found(tag.at, f"Email programs can't display <{tag.name}>: use an image, and link to the page.")


@check("markdown-unclosed", "error", "A code block, a comment, or a link that isn't closed.")
def markdown_unclosed(doc: Document, ctx: Context) -> Iterator[Found]:
    if doc.open_fence is not None:
        yield Found(doc.open_fence, "This code block is never closed: end it with the same characters on a line of their own.")
    at = doc.text.find("<!--", doc.body_at)
    while at >= 0:
        end = doc.text.find("-->", at)
        if end < 0 and not _in_code(doc, at):
            yield Found(at, "This comment is never closed: end it with -->.")
        at = doc.text.find("<!--", end) if end >= 0 else -1
    for match in re.finditer(r"\]\((?=https?:|[{/#])[^\s()<>]*[ \t]*$(?!\n[ \t]*[\"')])", doc.prose, re.MULTILINE):
        yield Found(match.start(), "The address is not closed: put ) after it.", _close(match))
    for match in _RUNS_ON.finditer(doc.prose):
        yield Found(match.start(), "The address is not closed: put ) after it.")
    for match in _APART.finditer(doc.prose):
        if " ".join(match[1].lower().split()) not in doc.definitions:
            fix = Fix(match.end(1) + 1, match.start(2) - 1, "")
            yield Found(match.end(1), "A space between ] and ( prevents this from being a link: remove it.", fix)


@check("emphasis-unclosed", "warning", "Bold text whose `**` isn't closed.")
def emphasis_unclosed(doc: Document, ctx: Context) -> Iterator[Found]:
    if "**" not in doc.prose:
        return
    for start, piece in _split_pieces(doc.bare):
        if "**" not in piece:
            continue
        stars = re.findall(r"(?<![\\*/])\*\*(?![*/])", re.sub(r"(?<=\s)\*\*(?=\s)", "  ", piece))
        if len(stars) == 1 and "***" not in piece:
            yield Found(start + piece.index("**"), "** is never closed: add the closing **, or write \\*\\*.")


@check("footnote-missing", "error", "A footnote reference without its text, or a footnote that nothing refers to.")
def footnote_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    defined = re.finditer(r"^ {0,3}(\[\^([^\[\]\s]+)\]:)", doc.prose, re.MULTILINE)
    noted = {match[2]: match.start(1) for match in defined}
    used = list(re.finditer(r"\[\^([^\[\]\s]+)\](?!:)", doc.prose))
    for match in used:
        if match[1] not in noted:
            yield Found(match.start(), f"The footnote {match[1]} has no text: add a line `[^{match[1]}]: …`.")
    for name in sorted(noted.keys() - {match[1] for match in used}):
        yield Found(
            noted[name],
            f"Nothing refers to the footnote {name}: write [^{name}] where it belongs, or remove the footnote.",
            level="warning",
        )


@check("size-clip", "warning", "An email near or over the 102 KB at which Gmail clips it.")
def size_clip(doc: Document, ctx: Context) -> Iterator[Found]:
    if doc.is_page or _estimate_size(doc) < _NEARLY_CLIPPED_BYTES:
        return
    made = ctx.render(doc.path)
    size = made.size if made else 0
    said = gmail_clipping.judge_size(size, made.before if made else "", ctx.clip)
    if said:
        yield Found(doc.body_at, said[1], level=said[0] if doc.asks else "warning")
    elif size > _NEARLY_CLIPPED_BYTES:
        yield Found(
            doc.body_at, f"The email has {size / 1024:.0f} KB of HTML, close to the 102 KB at which Gmail clips it: shorten it."
        )


def _estimate_size(doc: Document) -> int:
    """Return an upper bound for the bytes of the email's HTML: each tag with its inlined styles."""
    text = doc.text[doc.body_at :]
    code = sum(end - start for start, end in doc.code)
    lines = text.count("\n")
    has_table = "---" in text and "|" in text and _TABLE.search(text)
    cells = sum(map(len, map(_TABLE_CELL.findall, _TABLE_ROW.findall(text)))) if has_table else 0
    tags = 16 * lines + 60 * text.count("\n\n") + 150 * len(doc.headings) + 24 * len(doc.links) + 240 * cells
    return 16_000 + len(text.encode()) + tags + 5 * code + 8 * text.count("`") + 5 * sum(map(text.count, '&<>"'))


def _split_pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield paragraphs and list items with their offsets."""
    at, start, lines = 0, 0, list[str]()
    for line in text.split("\n"):
        if lines and (not line.strip() or re.match(r"[ \t>]*(?:[-*+]|\d+[.)])[ \t]|[ \t]*\|", line)):
            yield start, "\n".join(lines)
            lines = []
        if line.strip():
            start = start if lines else at
            lines.append(line)
        at += len(line) + 1
    if lines:
        yield start, "\n".join(lines)


def _close(match: re.Match[str]) -> Fix | None:
    """Put ) after an address, before the sentence's punctuation; None if the paragraph has a ): the address may end there."""
    rest = match.string[match.end() : match.end() + MAX_PARAGRAPH_CHARS]
    rest = re.split(r"\n[ \t]*+\n", rest, maxsplit=1)[0]
    if rest.count(")") > rest.count("("):
        return None
    end = match.start() + len(match[0].rstrip().rstrip(".,;:!?|"))
    return Fix(end, end, ")")


def _in_code(doc: Document, at: int) -> bool:
    """Is this offset inside code?"""
    line = doc.place(at)[0]
    before = doc.text[doc.line_at(line) : at]
    return before.count("`") % 2 == 1 or any(start <= at < end for start, end in doc.code)
