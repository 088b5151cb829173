"""Paid text: blocks between ``:::premium`` and ``:::``, whole issues (``Access: premium``), early ones.

The free text is cut out of the source before anything is converted, so that pages, feeds, tables of contents, summaries, search
and cards never see a word of the rest. Removed lines stay as empty lines: findings keep their line numbers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailer.core import i18n
from mailer.core.errors import BadInput
from mailer.editions.source import component_fences
from mailer.editions.source.code_fences import follow_code
from mailer.editions.source.front_matter import Source, moment
from mailer.editions.source.paid_fences import meant_kind, reads_like_end, reads_like_fence

MAX_NOTES = 1_000  # footnotes of an issue with paid parts: each is searched for in the whole text
MARK = "\0premium"  # suffix of a name: the text for paid subscribers
MORE = re.compile(r"<!--\s*more\s*-->\s*$", re.IGNORECASE)
_FENCE = re.compile(r"^:::++\s*+(\S*+)\s*$")
_NOTE = re.compile(r"^ {0,3}\[\^([^\]]+)\]:")
_TEXT = re.compile(r"[*#>\[( -]*+[A-Za-z]|\Z")  # how lines begin that neither are a fence, of anything, nor read like one


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


@dataclass(frozen=True)
class _Offer:
    """Where paid text is sold, and the language of the issue."""

    join_url: str
    lang: str

    @property
    def say(self) -> i18n.Say:
        return i18n.translator(i18n.spoken(self.lang))

    def lock(self, sentence: str) -> str:
        """Return what free subscribers see in place of paid text."""
        href, more = html.escape(self.join_url, quote=True), html.escape(self.say("Subscribe to read on"))
        return f'<p class="locked">{html.escape(sentence)} <a href="{href}">{more}</a></p>'


def cut(source: Source, fields: Mapping[str, str], now: datetime, join_url: str, gfm: bool = False) -> Cut:
    """Split a Markdown source; a problem is an error of the source, which then is not published at all.

    In GitHub's dialect, `gfm`, components are between fences as well.
    """
    access, until = _access(source, fields)
    lines = source.body.split("\n")
    blocks = _Fences(source, gfm).read(lines)
    if access is Access.EARLY and until and until <= now:
        return Cut(_without_fences(lines, blocks), None)
    offer = _Offer(join_url, fields.get("lang", ""))
    if access is not Access.OPEN:
        return _whole(source, fields, (lines, blocks), offer, until)
    if not blocks:
        return Cut(source.body, None)
    free, premium = _apart(lines, blocks, offer)
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


Block = tuple[str, int, int]  # kind, and the lines of its two fences


@dataclass
class _Fences:
    """Reads the fences of a source. Anything ambiguous is an error, so that nothing leaks."""

    source: Source
    gfm: bool
    kind: str = ""
    first: int = 0
    found: list[Block] = field(default_factory=list)
    inner: list[int] = field(default_factory=list)  # the lines of components that are open

    def read(self, lines: list[str]) -> list[Block]:
        """List the blocks of paid and of free text."""
        code = ""
        for at, line in enumerate(lines):
            if _TEXT.match(line):
                continue
            code = follow_code(line, code)
            if self.gfm and not code and component_fences.read_opening(line):
                self.inner.append(at)
            elif match := _FENCE.match(line):
                self._read_fence(lines, at, match[1].lower(), code)
            elif not code and (reads_like_fence(line) or (self.kind and reads_like_end(line))):
                how = "write `:::premium`, `:::free`, or `:::` at the beginning of a line of its own"
                _wrong(self.source, at, f"`{_printed(line)}` reads like a fence of paid text but is none: {how}.")
        if self.inner:
            at = self.inner[-1]
            _wrong(self.source, at, f"`{_printed(lines[at])}` is never closed: write `:::` on a line of its own after it.")
        elif self.kind:
            _wrong(self.source, self.first, f"`:::{self.kind}` is never closed: write `:::` on a line of its own after it.")
        return self.found

    def _read_fence(self, lines: list[str], at: int, word: str, code: str) -> None:
        line, kind, first = lines[at], self.kind, self.first
        if code and not kind:
            self._wrong(at, f"`{line.strip()}` is inside a code block: put a space before it, or close the code block first.")
        elif not word and self.inner and not code:
            self.inner.pop()
        elif word in ("premium", "free") and self.inner:
            before = f"`{_printed(lines[self.inner[-1]])}` of line {self.source.body_line + self.inner[-1]}"
            self._wrong(at, f"`:::{word}` is inside {before}: close that component with `:::` first.")
        elif word in ("premium", "free") and not kind:
            self.kind, self.first = word, at
        elif not word and kind:
            if not "".join(lines[first + 1 : at]).strip():
                self._wrong(first, f"The block `:::{kind}` is empty: add text, or remove it.")
            self.found.append((kind, first, at))
            self.kind = ""
        elif word in ("premium", "free"):
            before = f"`:::{kind}` of line {self.source.body_line + first}"
            self._wrong(at, f"`:::{word}` is inside {before}: close that block with `:::` first.")
        elif not word:
            self._wrong(at, "`:::` closes nothing: remove it, or begin with `:::premium`.")
        elif meant := meant_kind(word) or ("premium" if reads_like_fence(line) else ""):
            self._wrong(at, f"`:::{_printed(word)}` is unknown. Did you mean `:::{meant}`?")
        elif kind and reads_like_end(line):
            self._wrong(at, f"`{_printed(line)}` reads like `:::` but is not: delete what is hidden in this line.")
        elif self.gfm and not code:
            names = ", ".join(("premium", "free", *component_fences.NAMES))
            self._wrong(at, f"`:::{_printed(word)}` is unknown: write one of {names}.")

    def _wrong(self, at: int, message: str) -> None:
        _wrong(self.source, at, message)


def _printed(line: str) -> str:
    """The beginning of a line, with a name for what nobody sees."""
    shown = line.strip()[:40]
    return "".join(one if one.isprintable() else f"U+{ord(one):04X}" for one in shown)


def _wrong(source: Source, at: int, message: str) -> None:
    source.lines[":::"] = source.body_line + at
    source.error(":::", message)


def _apart(lines: list[str], blocks: list[Block], offer: _Offer) -> tuple[list[str], list[str]]:
    free, premium = list(lines), list(lines)
    said = any(kind == "free" for kind, _, _ in blocks)
    for kind, first, last in blocks:
        hide = free if kind == "premium" else premium
        hide[first : last + 1] = [""] * (last + 1 - first)
        shown = premium if kind == "premium" else free
        shown[first] = shown[last] = ""
        if kind == "premium" and not said:
            free[first + 1] = offer.lock(offer.say("This part is for paid subscribers."))
            said = True
    return free, premium


def _whole(
    source: Source, fields: Mapping[str, str], text: tuple[list[str], list[Block]], offer: _Offer, until: datetime | None
) -> Cut:
    """Cut a whole issue. The teaser is the text above ``<!-- more -->``, else ``Teaser:``, else nothing."""
    lines, blocks = text
    more = next((at for at, line in enumerate(lines) if MORE.search(line)), None)
    teaser = lines[:more] if more is not None else [html.escape(fields.get("teaser", ""))]
    if more is not None and any(kind == "premium" and first < more for kind, first, _ in blocks):
        _wrong(source, more, "The teaser above `<!-- more -->` contains a `:::premium` block: move the block below.")
    _, premium = _apart(lines, blocks, offer)
    sentences = [offer.say("This issue is for paid subscribers.")]
    if until:
        sentences.append(
            offer.say("It will be free for everyone from %(date)s.", date=i18n.day(until, i18n.spoken(offer.lang)))
        )
    fences = {at for _, *ends in blocks for at in ends}
    free = [*(line for at, line in enumerate(teaser) if at not in fences), "", offer.lock(" ".join(sentences)), ""]
    rest = "\n".join(lines[more + 1 :] if more is not None else lines)
    return Cut("\n".join(free), "\n".join(premium), (rest,))


def _without_fences(lines: list[str], blocks: list[Block]) -> str:
    """Return all of an issue that is free by now; ``:::free`` blocks were for those who could not read it before."""
    for kind, first, last in blocks:
        if kind == "free":
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
        elif line.strip() and not line.startswith((" ", "\t")) and not (at and free[at - 1].strip()):
            dropping = False  # a line right under a note's text belongs to it, wherever it begins
        if dropping and line.strip():
            kept[at] = ""
            moved.append(re.sub(_NOTE, "", line))
    return kept, ["\n".join(moved)] if moved else []
