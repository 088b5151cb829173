"""Paid text: blocks between ``:::premium`` and ``:::``, whole issues (``Access: premium``), early ones.

The free text is cut out of the source before anything is converted, so that pages, feeds, tables of contents, summaries, search
and cards never see a word of the rest. Removed lines stay as empty lines: findings keep their line numbers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mailer.core import i18n
from mailer.core.edition import Variant
from mailer.core.errors import BadInput
from mailer.editions.source.front_matter import Source, moment
from mailer.editions.source.paid_fences import meant_kind, reads_like_end, reads_like_fence

MAX_NOTES = 1_000  # footnotes of an issue with paid parts: each is searched for in the whole text
MARK = "\0premium"  # suffix of a name: the text for paid subscribers
MORE = re.compile(r"<!--\s*more\s*-->\s*$", re.IGNORECASE)
_FENCE = re.compile(r"^:::++\s*+(\S*+)\s*$")
_CODE = re.compile(r"^ {0,3}(```+|~~~+)")
_NOTE = re.compile(r"^\[\^([^\]]+)\]:")


class Access(StrEnum):
    """The value of an issue's ``Access:`` line."""

    OPEN = "open"
    PREMIUM = "premium"
    EARLY = "early"


@dataclass(frozen=True)
class Cut:
    """The two texts of a source. ``premium`` is None if all subscribers get the same; ``secrets`` are the paid texts."""

    free: str
    premium: str | None
    secrets: tuple[str, ...] = ()


def variant(made: Mapping[str, Any]) -> Variant:
    """Build the variant for paid subscribers, from what ``issue_renderer.render_issue`` returned."""
    return Variant("premium", *(made[name] for name in ("preheader", "html", "text", "body", "digest")))


def cut(source: Source, fields: Mapping[str, str], now: datetime, join_url: str) -> Cut:
    """Split a Markdown source; a problem is an error of the source, which then is not published at all."""
    access, until = _access(source, fields)
    if access is Access.EARLY and until and until <= now:
        access = Access.OPEN
        return Cut(_without_fences(source, ("free",)), None)
    lines = source.body.split("\n")
    blocks = _blocks(source, lines)
    if access is not Access.OPEN:
        return _whole(source, fields, lines, blocks, join_url, until)
    if not blocks:
        return Cut(source.body, None)
    free, premium = _apart(lines, blocks, join_url, fields.get("lang", ""))
    if sum(map(bool, map(_NOTE.match, free))) > MAX_NOTES:
        _wrong(source, 0, f"There are more than {MAX_NOTES:,} footnotes: remove some.")
        return Cut("", "")
    free, moved = _footnotes(free, premium)
    inside = ["\n".join(lines[first + 1 : last]) for kind, first, last in blocks if kind == "premium"]
    return Cut("\n".join(free), "\n".join(premium), (*inside, *moved))


def refuse_rst(source: Source, text: str) -> None:
    """Refuse paid text in reStructuredText: an issue that contains it is not published."""
    if source.fields.get("access", "").strip().lower() not in ("", "open", "free") or reads_paid(text):
        source.error("access", "Paid text requires Markdown: write this issue as a .md file.")


def reads_paid(text: str) -> bool:
    """Return whether any line is, or reads like, a fence of paid text."""
    return any(line.startswith(":::") or reads_like_fence(line) for line in text.split("\n"))


def _access(source: Source, fields: Mapping[str, str]) -> tuple[Access, datetime | None]:
    word = fields.get("access", "").strip().lower()
    if word in ("", "free", "open"):
        return Access.OPEN, None
    if word == "premium":
        return Access.PREMIUM, None
    if word != "early":
        source.error("access", f"`Access: {word}` is unknown: write `Access: premium` or `Access: early`, or remove the line.")
        return Access.PREMIUM, None
    try:
        return Access.EARLY, moment(fields.get("free-from", ""))
    except BadInput:
        source.error("access", "`Access: early` needs a date: add `Free-From: 2026-12-01 09:00 Europe/Berlin`.")
        return Access.PREMIUM, None


def _blocks(source: Source, lines: list[str]) -> list[tuple[str, int, int]]:
    """List kind, first and last line (their fences) of each block. Anything ambiguous is an error, so that nothing leaks."""
    found: list[tuple[str, int, int]] = []
    kind, first, code = "", 0, ""
    for at, line in enumerate(lines):
        code = _in_code(line, code)
        match = _FENCE.match(line)
        if not match:
            if not code and (reads_like_fence(line) or (kind and reads_like_end(line))):
                how = "write `:::premium`, `:::free`, or `:::` at the beginning of a line of its own"
                _wrong(source, at, f"`{_printed(line)}` reads like a fence of paid text but is none: {how}.")
            continue
        word = match[1].lower()
        if code and not kind:
            _wrong(
                source, at, f"`{line.strip()}` is inside a code block: put a space before it, or close the code block first."
            )
        elif word in ("premium", "free") and not kind:
            kind, first = word, at
        elif not word and kind:
            if not "".join(lines[first + 1 : at]).strip():
                _wrong(source, first, f"The block `:::{kind}` is empty: add text, or remove it.")
            found.append((kind, first, at))
            kind = ""
        elif word in ("premium", "free"):
            _wrong(
                source,
                at,
                f"`:::{word}` is inside `:::{kind}` of line {source.body_line + first}: close that block with `:::` first.",
            )
        elif not word:
            _wrong(source, at, "`:::` closes nothing: remove it, or begin with `:::premium`.")
        elif meant := meant_kind(word) or ("premium" if reads_like_fence(line) else ""):
            _wrong(source, at, f"`:::{_printed(match[1])}` is unknown. Did you mean `:::{meant}`?")
        elif kind and reads_like_end(line):
            _wrong(source, at, f"`{_printed(line)}` reads like `:::` but is not: delete what is hidden in this line.")
    if kind:
        _wrong(source, first, f"`:::{kind}` is never closed: write `:::` on a line of its own after it.")
    return found


def _printed(line: str) -> str:
    """The beginning of a line, with a name for what nobody sees."""
    shown = line.strip()[:40]
    return "".join(one if one.isprintable() else f"U+{ord(one):04X}" for one in shown)


def _in_code(line: str, code: str) -> str:
    """Return the fence of the code block that the next line is in, or ''."""
    match = _CODE.match(line)
    if not match:
        return code
    if not code:
        return match[1]
    closes = match[1][0] == code[0] and len(match[1]) >= len(code) and not line.strip().strip(code[0])
    return "" if closes else code


def _wrong(source: Source, at: int, message: str) -> None:
    source.lines[":::"] = source.body_line + at
    source.error(":::", message)


def _apart(lines: list[str], blocks: list[tuple[str, int, int]], join_url: str, lang: str) -> tuple[list[str], list[str]]:
    free, premium = list(lines), list(lines)
    said = any(kind == "free" for kind, _, _ in blocks)
    say = i18n.translator(i18n.spoken(lang))
    for kind, first, last in blocks:
        hide = free if kind == "premium" else premium
        hide[first : last + 1] = [""] * (last + 1 - first)
        shown = premium if kind == "premium" else free
        shown[first] = shown[last] = ""
        if kind == "premium" and not said:
            free[first + 1] = locked(say("This part is for paid subscribers."), join_url, lang)
            said = True
    return free, premium


def _whole(
    source: Source, fields: Mapping[str, str], lines: list[str], blocks: list[tuple[str, int, int]], join_url: str,
    until: datetime | None,
) -> Cut:  # fmt: skip
    """Cut a whole issue. The teaser is the text above ``<!-- more -->``, else ``Teaser:``, else nothing."""
    more = next((at for at, line in enumerate(lines) if MORE.search(line)), None)
    teaser = lines[:more] if more is not None else [html.escape(fields.get("teaser", ""))]
    if more is not None and any(kind == "premium" and first < more for kind, first, _ in blocks):
        _wrong(source, more, "The teaser above `<!-- more -->` contains a `:::premium` block: move the block below.")
    lang = fields.get("lang", "")
    say = i18n.translator(i18n.spoken(lang))
    _, premium = _apart(lines, blocks, join_url, lang)
    sentences = [say("This issue is for paid subscribers.")]
    sentences += [say("It will be free for everyone from %(date)s.", date=i18n.day(until, i18n.spoken(lang)))] if until else []
    note = locked(" ".join(sentences), join_url, lang)
    kept = [line for line in teaser if not _FENCE.match(line)]
    free = [*kept, "", note, ""]
    rest = "\n".join(lines[more + 1 :] if more is not None else lines)
    return Cut("\n".join(free), "\n".join(premium), (rest,))


def _without_fences(source: Source, hidden: tuple[str, ...]) -> str:
    """Return all of an issue that is free by now; ``:::free`` blocks were for those who could not read it before."""
    lines = source.body.split("\n")
    for kind, first, last in _blocks(source, lines):
        if kind in hidden:
            lines[first : last + 1] = [""] * (last + 1 - first)
        lines[first] = lines[last] = ""
    return "\n".join(lines)


def _footnotes(free: list[str], premium: list[str]) -> tuple[list[str], list[str]]:
    """Move footnotes that only paid text refers to out of the free text; the removed ones come second."""
    text = "\n".join(line for line in free if not _NOTE.match(line))
    paid = "\n".join(line for line in premium if not _NOTE.match(line))
    kept, moved, dropping = list(free), [], False
    for at, line in enumerate(free):
        match = _NOTE.match(line)
        if match:
            ref = f"[^{match[1]}]"
            dropping = ref in paid and ref not in text
        elif line.strip() and not line.startswith((" ", "\t")):
            dropping = False
        if dropping and line.strip():
            kept[at] = ""
            moved.append(re.sub(_NOTE, "", line))
    return kept, ["\n".join(moved)] if moved else []


def locked(sentence: str, join_url: str, lang: str) -> str:
    """Return what free subscribers see in place of paid text."""
    href, say = html.escape(join_url, quote=True), i18n.translator(i18n.spoken(lang))
    return f'<p class="locked">{html.escape(sentence)} <a href="{href}">{html.escape(say("Subscribe to read on"))}</a></p>'
