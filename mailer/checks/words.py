"""Checks of the text and its markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath

from PIL import ImageColor

from mailer.checks.context import Context
from mailer.checks.document import Document, Link, fill
from mailer.checks.registry import Fix, Found, check, group, shorten
from mailer.core.i18n import code
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
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>")
# What to write for an element that is removed; the others may be code that somebody forgot to mark.
_INSTEAD = {
    **dict.fromkeys(("iframe", "frame", "frameset", "object", "embed", "applet"), "link to the page that it shows"),
    **dict.fromkeys(("form", "input", "button", "textarea", "select"), "link to a page with the form"),
    **dict.fromkeys(("script", "noscript"), "delete it, and write down what it would show"),
    "style": "delete it, and write styles in the theme",
}
_MIN_DEEP_LEVEL = 4
_MIN_OPAQUE = 128  # of 255
_FILES = (".pdf", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".ods", ".csv", ".ppt", ".pptx", ".zip", ".ics", ".epub", ".txt")
# How a text speaks of an attachment, by language: only where it can hardly mean anything else.
_ATTACHED = {
    language: re.compile(pattern, re.IGNORECASE)
    for language, pattern in {
        "en": r"\b(?:(?:see|find|open|read) (?:the )?attached\b(?! to\b)|(?:I|we)(?:'ve|’ve| have) attached\b"
        r"|(?:is|are) attached(?: to this (?:e-?mail|issue|newsletter))?(?= *[.!,;:]|\n\n|$)|(?:in|see|open) the attachments?\b"
        r"|attached (?:PDF|file|document|spreadsheet)s?\b)",
        "de": r"\b(?:im Anhang|anbei (?:finde[nt]?|findest|die|das|der|ein|eine)|(?:die|das|der) angehängten? )\b",
        "fr": r"(?:\bci-joints?\b|\bci-jointes?\b|\ben pièces? jointes?\b)",
        "es": r"\b(?:archivos? adjuntos?|documentos? adjuntos?|te adjunt(?:o|amos)|os adjunt(?:o|amos))\b",
        "zh": r"(?:见附件|請見附件|请见附件|附件中|附件里)",
    }.items()
}
_COLOR = re.compile(r"(?<![\w-])color\s*:\s*([^;!]+)", re.IGNORECASE)
_BEHIND = re.compile(r"(?<![\w-])background(?:-color)?\s*:\s*([^;!]+)", re.IGNORECASE)
_MAX_DARK_LUMINANCE, _MIN_LIGHT_LUMINANCE = 0.10, 0.35  # with less than 3 : 1 to the dark background, or to light text
_TABLE_CELL = re.compile(r"(?<!\\)\|")
_BELOW_HEAD = re.compile(r"[ \t>]*+\|?(?:[ \t]*+:?-++:?[ \t]*+\|)++(?:[ \t]*+:?-++:?[ \t]*+)?")  # a table's second line
# What begins an HTML block that ends nowhere else than by these characters (CommonMark, 4.6).
_UNENDED = re.compile(r"^ {0,3}(<\?|<!\[CDATA\[|<![A-Za-z])", re.MULTILINE)
_ENDS = {"<?": "?>", "<![CDATA[": "]]>"}


@check("heading-jump", "note", "A heading that skips a level. The page and the email close the gap, GitHub does not.")
def heading_jump(doc: Document, ctx: Context) -> Iterator[Found]:
    found = []
    for before, after in pairwise(doc.headings):
        if after.level > before.level + 1:
            how = f"write {'#' * (before.level + 1)} before “{shorten(after.text, 40)}”"
            found.append(Found(after.at, f"The heading skips from level {before.level} to {after.level}: {how}."))
    yield from group(doc, found)


@check("heading-first", "note", "A first heading of level 4 or deeper. The page and the email show it at level 2.")
def heading_first(doc: Document, ctx: Context) -> Iterator[Found]:
    first = next(iter(doc.headings), None)
    if first and first.level >= _MIN_DEEP_LEVEL:
        how = f"write ## before “{shorten(first.text, 40)}”"
        yield Found(first.at, f"The first heading is at level {first.level}: {how}.")


@check(
    "attachment-missing", "warning", "Words such as “attached”, in an issue that links to no file: emails have no attachments."
)
def attachment_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    pattern = _ATTACHED.get(code(doc.fields.get("lang") or ctx.lang).partition("-")[0])
    if not doc.asks or not pattern or any(_is_file(link) for link in doc.links):
        return
    if match := pattern.search(doc.bare, doc.body_at):
        said = "but the issue links to no file, and emails have no attachments: link to it with {static}"
        yield Found(match.start(), f"“{shorten(match[0], 40)}” is mentioned, {said}.")


@check("color-dark", "warning", "An inline color with which text vanishes in dark mode, or would without its background.")
def color_dark(doc: Document, ctx: Context) -> Iterator[Found]:
    found = []
    for tag in doc.tags if doc.asks else ():
        style, at = tag.attributes.get("style", ("", tag.at))
        text = _COLOR.search(style)
        color = (
            _luminance(text[1]) if text else _luminance(tag.attributes.get("color", ("", 0))[0]) if tag.name == "font" else None
        )
        behind = _BEHIND.search(style)
        background = _luminance(behind[1]) if behind else _luminance(tag.attributes.get("bgcolor", ("", 0))[0])
        has_background = bool(behind) or "bgcolor" in tag.attributes
        if color is not None and not has_background and color < _MAX_DARK_LUMINANCE:
            found.append(Found(at, "This text vanishes in dark mode: remove its color, or set a background too."))
        elif color is None and background is not None and background > _MIN_LIGHT_LUMINANCE:
            found.append(Found(at, "Text on this background vanishes in dark mode: remove the background, or set a color too."))
    yield from group(doc, found)


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
            how = _INSTEAD.get(tag.name, "delete it, or put it between backticks if it is code")
            yield Found(tag.at, f"<{tag.name}> is removed from pages and emails: {how}.")
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
    for match in _UNENDED.finditer(doc.prose):
        ending = _ENDS.get(match[1], ">")
        if ending not in doc.prose[match.end() :]:
            yield Found(
                match.start(1), f"{match[1]} hides all text that follows, up to {ending}: end it, or put it between backticks."
            )
    for match in re.finditer(r"\]\((?=https?:|[{/#])[^\s()<>]*[ \t]*$(?!\n[ \t]*[\"')])", doc.prose, re.MULTILINE):
        if re.match(r"\n[ \t]*[^\s()]*[&=%/?#.-][^\s()]*\)", doc.prose[match.end() :]):
            yield Found(match.start(), "A line break in the address prevents this from being a link: remove it.")
        else:
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
    text = _TAGS.sub(lambda match: "x" * len(match[0]), doc.prose)  # a tag is no space: `**<b>…</b>**` is closed
    spans = sorted((link.at, link.at + len(link.target)) for link in doc.links if not text.startswith("x", link.at))
    for start, piece in _split_pieces(fill(text, spans)):
        if "**" not in piece:
            continue
        stars = re.findall(r"(?<![\\*/])\*\*(?![*/])", re.sub(r"(?<=\s)\*\*(?=\s)", "  ", piece))
        if len(stars) == 1 and "***" not in piece:
            yield Found(start + piece.index("**"), "** is never closed: add the closing **, or write \\*\\*.")


@check("footnote-missing", "error", "A footnote reference without its text, or with two, or a footnote that nothing refers to.")
def footnote_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    defined = re.finditer(r"^ {0,3}(\[\^([^\[\]\s]+)\]:)", doc.prose, re.MULTILINE)
    noted: dict[str, int] = {}
    for match in defined:
        if match[2] in noted:
            yield Found(match.start(1), f"The footnote {match[2]} has two texts, of which one is lost: give one another name.")
        noted.setdefault(match[2], match.start(1))
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


@check("table-cells", "warning", "A row of a table with more cells than the table has columns: the rest is not shown.")
def table_cells(doc: Document, ctx: Context) -> Iterator[Found]:
    columns, before, at = 0, "", 0
    for line in doc.prose.split("\n") if "|" in doc.prose else ():
        if "|" not in line:
            columns = 0
        elif _BELOW_HEAD.fullmatch(line):
            columns = len(_split_cells(line))
            columns = columns if columns == len(_split_cells(before)) else 0
        elif columns and any(cell.strip() for cell in _split_cells(line)[columns:]):
            yield Found(at, f"This row has more than {columns} cells, and the rest is not shown: write \\| for a | in a cell.")
        before, at = line, at + len(line) + 1


def _split_cells(row: str) -> list[str]:
    """Split a row at each ``|`` that is not escaped, without those around it."""
    return _TABLE_CELL.split(row.strip().lstrip("> ").removeprefix("|").removesuffix("|"))


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


def _is_file(link: Link) -> bool:
    """Does the link lead to a file that people download?"""
    return link.target.startswith(("{attach}", "|attach|")) or (
        PurePath(re.split("[?#]", link.target)[0]).suffix.lower() in _FILES
    )


def _luminance(color: str) -> float | None:
    """Return the relative luminance of a CSS color, 0 to 1 (WCAG 2.2); None if it is no opaque color."""
    try:
        channels = ImageColor.getrgb(color.strip())
    except ValueError:
        return None
    if len(channels) > 3 and channels[3] < _MIN_OPAQUE:
        return None
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (one / 255 for one in channels[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


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
