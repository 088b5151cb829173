"""One source file as the checks see it: its text, its fields, and its links, pictures, headings and HTML with their places.

The text is scanned, not converted: that is what makes 610 issues take seconds, and it gives the column of everything.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePath

from mailer.editions.source import drafts
from mailer.editions.source.front_matter import MAX_SOURCE_BYTES, NO, Source, split

_FENCE = re.compile(r"^(?:[ >\t]|(?:[-*+]|\d{1,9}[.)])[ \t])*(`{3,}+(?!.*`)|~{3,})")
_RAW = re.compile(r"<(pre|script|style|textarea)\b[^<>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
TICKS = re.compile(r"(`(?<![`\\]`)`*)(?!`)(?:[^\n]|\n(?![ \t]*\n))+?(?<!`)\1(?!`)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_INLINE = re.compile(  # every pattern of links begins with its bracket, which makes the search fast
    r"\[((?:[^\[\]]++|\[(?:[^\[\]]++|\[[^\[\]]*\])*\])*)\]\(\s*+(?:<([^<>\n]*)>|((?:[^\s()<>]++|\((?:[^\s()]++|\([^\s()]*\))*\))*))"
    r"(?:\s++(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*+\)"
)
_DEFINED = re.compile(r"^ {0,3}\[(?!\^)([^\[\]\n]+)\]:[ \t]*+\n?[ \t]*+<?([^\s<>]+)>?", re.MULTILINE)
_PICTURED = re.compile(r"!\[[^\[\]\n]*\]\[([^\[\]\n]+)\]")
_AUTO = re.compile(r"<([a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]+)>")
_BARE = re.compile(r"(?<![\w/@])https?://[^\s<>()\[\]]+", re.IGNORECASE)
_AFTER_ADDRESS = ".,;:!?'\"*_~|"
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*+)((?:\s[^<>]*+)?)/?>")
_ATTRIBUTE = re.compile(r"([a-zA-Z_:][\w:.-]*)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?")
_TARGETS = re.compile(r"<[a-zA-Z/][^<>]*>|https?://[^\s)>\]]+|^ {0,3}\[[^\]\n]+\]:.*$|\]\[[^\]\n]*\]", re.MULTILINE)
_MARKED = re.compile(r"([-*+]|\d+[.)]|\[\^[^\]]+\]:|:)\s")  # a list item, a footnote, a definition
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]*([^#\n].*)$", re.MULTILINE)
_UNDERLINED = re.compile(r"\n(=+|-{2,})[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Link:
    """A link or a picture. ``at`` is the start of the target, ``start`` and ``end`` enclose the whole."""

    target: str
    text: str
    at: int
    start: int
    end: int
    image: bool = False


@dataclass(frozen=True)
class HtmlTag:
    """An HTML tag; ``attributes`` map a name to its value and the value's place."""

    name: str
    at: int
    closing: bool
    attributes: dict[str, tuple[str, int]]


@dataclass(frozen=True)
class Heading:
    """A heading of the text."""

    level: int
    text: str
    at: int
    end: int


@dataclass
class Document:
    """A file; ``shown`` is its display name, ``text`` has ``\n`` for every line break and no byte order mark.

    ``implied`` are the fields that its name or the site's settings say, such as a date.
    """

    path: Path
    shown: str
    data: bytes
    is_page: bool = False
    is_step: bool = False  # of a sequence
    implied: Mapping[str, str] = field(default_factory=dict)
    source: Source = field(init=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.source = split(self.shown, self.data)
        self.text = self.data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
        self._starts = [0, *accumulate(len(line) + 1 for line in self.text.split("\n"))]

    @property
    def fields(self) -> dict[str, str]:
        """The front matter, with names in lower case."""
        return self.source.fields

    @property
    def asks(self) -> bool:
        """Does it ask to be sent?"""
        return not self.is_page and self.fields.get("send", "").lower() not in NO

    @property
    def is_never_sent(self) -> bool:
        """Does it say that it is not to be sent?"""
        return not self.is_page and bool(self.fields.get("send")) and not self.asks

    @cached_property
    def body_at(self) -> int:
        """The offset of the body."""
        return self._starts[min(self.source.body_line, len(self._starts)) - 1]

    def place(self, at: int) -> tuple[int, int]:
        """Convert an offset to a line and a column, both from 1."""
        line = bisect.bisect_right(self._starts, min(at, len(self.text)))
        return line, at - self._starts[line - 1] + 1

    def line_at(self, line: int) -> int:
        """Return the offset of a line (from 1)."""
        return self._starts[min(max(line, 1), len(self._starts)) - 1]

    def field_at(self, name: str) -> int:
        """Return the offset of a field, or of the beginning."""
        return self.line_at(self.source.lines.get(name, 1))

    def field_text(self, name: str) -> tuple[int, str]:
        """Return the value of a field with its continuation lines, and its offset."""
        line = self.source.lines[name]
        after = min((other for other in self.source.lines.values() if other > line), default=self.source.body_line)
        at = self.text.find(":", self.line_at(line)) + 1
        text = self.text[at : max(at, self.line_at(after) if after > line else self.body_at)]
        return at + len(text) - len(text.lstrip()), re.sub(r"\n[ \t]*(?:---|\.\.\.)[ \t]*\Z", "", text.rstrip()).strip()

    @cached_property
    def is_draft(self) -> bool:
        """Is it left out of the build as a draft?"""
        return drafts.is_draft(drafts.Candidate(self.fields, PurePath(self.shown), "UTC", datetime.now(UTC)))

    @cached_property
    def open_fence(self) -> int | None:
        """The offset of a code block that is never closed."""
        return self._fences[1]

    @property
    def code(self) -> list[tuple[int, int]]:
        """The ranges of fenced code blocks."""
        return self._fences[0]

    @cached_property
    def prose(self) -> str:
        """The text with the front matter, code and comments blanked out: same length, same lines."""
        if len(self.data) > MAX_SOURCE_BYTES:
            return _blank(self.text)
        text = _blank(self.text[: self.body_at]) + self.text[self.body_at :]
        text = fill(text, self.code)
        if "<!--" in text:
            text = _COMMENT.sub(lambda match: _blank(match[0]), text)
        text = self._without_indented(text)
        if "<" in text:  # what is between the tags is code, and no Markdown
            text = _RAW.sub(lambda match: _blank_inside(match[0]), text)
        return TICKS.sub(lambda match: _blank(match[0]), text) if "`" in text else text

    @cached_property
    def bare(self) -> str:
        """The prose with the targets of links and all HTML blanked out as well: what people read."""
        spans = [(link.at, link.at + len(link.target)) for link in self.links]
        spans += [match.span() for match in _TARGETS.finditer(self.prose)]
        return fill(self.prose, sorted(spans))

    @cached_property
    def links(self) -> list[Link]:
        """Every link and picture: inline, by reference, in angle brackets, in HTML."""
        found = [*self._inline(), *self._others()]
        return sorted(found, key=lambda link: link.at)

    @cached_property
    def addresses(self) -> list[Link]:
        """All links, and the addresses in the text that GitHub's dialect makes links."""
        whole = [(link.start, link.end) for link in self.links] + [match.span() for match in _TAG.finditer(self.prose)]
        rest = fill(self.prose, sorted(whole))
        bare = ((match[0].rstrip(_AFTER_ADDRESS), match.start()) for match in _BARE.finditer(rest))
        found = [Link(target, target, at, at, at + len(target)) for target, at in bare]
        return sorted([*self.links, *found], key=lambda link: link.at)

    @cached_property
    def definitions(self) -> dict[str, str]:
        """Map reference names (lower case) to their targets."""
        return {_name(match[1]): match[2] for match in _DEFINED.finditer(self.prose)}

    @cached_property
    def tags(self) -> list[HtmlTag]:
        """HTML tags of the text."""
        return [_tag(match) for match in _TAG.finditer(self.prose)] if "<" in self.prose else []

    @cached_property
    def headings(self) -> list[Heading]:
        """Headings, in order."""
        found, text = [], self.prose
        for match in _HEADING.finditer(text) if "#" in text else ():
            words = self.text[match.start(2) : match.end(2)].rstrip(" \t").rstrip("#").rstrip(" \t") or match[2][0]
            found.append(Heading(len(match[1]), words, match.start(), match.end()))
        for match in _UNDERLINED.finditer(text):
            start = text.rfind("\n", 0, match.start()) + 1
            if not text[start : start + 1].strip(" \t>*+-#") or text[start : match.start()].isspace():
                continue
            level = 1 if match[1][0] == "=" else 2
            found.append(Heading(level, self.text[start : match.start()], start, match.end()))
        return sorted(found, key=lambda heading: heading.at)

    def _inline(self) -> Iterator[Link]:
        text = self.prose
        for match in _INLINE.finditer(text):
            yield _link(match, self.text)
            if "](" in match[1]:  # a picture inside a link
                for inner in _INLINE.finditer(text, match.start(1), match.end(1)):
                    yield _link(inner, text)

    def _others(self) -> Iterator[Link]:
        pictures = {_name(match[1]) for match in _PICTURED.finditer(self.prose)} if "![" in self.prose else set()
        for match in _DEFINED.finditer(self.prose):
            yield Link(match[2], "", match.start(2), match.start(), match.end(), _name(match[1]) in pictures)
        for match in _AUTO.finditer(self.prose):
            yield Link(match[1], match[1], match.start(1), match.start(), match.end())
        for tag in self.tags:
            for name in ("href", "src"):
                if name in tag.attributes:
                    value, at = tag.attributes[name]
                    yield Link(value, "", at, tag.at, at, tag.name == "img")

    @cached_property
    def _fences(self) -> tuple[list[tuple[int, int]], int | None]:
        if "```" not in self.text and "~~~" not in self.text:
            return [], None
        spans, mark, start = [], "", 0
        for line in range(self.source.body_line, len(self._starts)):
            at = self._starts[line - 1]
            match = _FENCE.match(self.text[at : self._starts[line] - 1]) if line < len(self._starts) else None
            if not match:
                continue
            if not mark:
                mark, start = match[1], at
            elif match[1].startswith(mark) and not self.text[at : self._starts[line] - 1].strip(" >\t`~"):
                spans.append((start, self._starts[line] - 1))
                mark = ""
        if mark:
            spans.append((start, len(self.text)))
        return spans, (start if mark else None)

    def _without_indented(self, text: str) -> str:
        """Blank out code that is only indented after an empty line: by four spaces, in lists and notes by four more."""
        if "\n    " not in text and "\n\t" not in text:
            return text
        lines, inside, empty, own = text.split("\n"), False, True, 0
        for number, line in enumerate(lines):
            bare = line.lstrip()
            if not bare:
                empty = True
                continue
            wide = 0 if len(bare) == len(line) else len(line[: len(line) - len(bare)].expandtabs(4))
            marked = bool(_MARKED.match(bare))
            if wide < 4:
                inside = marked or (inside and not empty)
            elif empty and (not inside or wide >= own + 4):
                lines[number] = " " * len(line)
                continue
            if marked and inside:
                own = wide // 4 * 4 + 4  # where the item's own text would begin
            empty = False
        return "\n".join(lines)


def _name(text: str) -> str:
    return " ".join(text.lower().split())


def _blank(text: str) -> str:
    """Return as many spaces, with the same line breaks."""
    return "\n".join(" " * len(line) for line in text.split("\n"))


def _blank_inside(element: str) -> str:
    """Blank out what is between an element's tags."""
    start, end = element.index(">") + 1, element.rindex("<")
    return element[:start] + _blank(element[start:end]) + element[end:]


def fill(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Blank out these ranges of the text, which are in order."""
    pieces, last = [], 0
    for start, end in spans:
        start = max(start, last)
        if end > start:
            pieces += [text[last:start], _blank(text[start:end])]
            last = end
    return "".join([*pieces, text[last:]])


def _link(match: re.Match[str], text: str) -> Link:
    """Build the link or picture that _INLINE found; its words are those of ``text``."""
    group = 2 if match[2] is not None else 3
    start = match.start()
    image = match.string[start - 1 : start] == "!" if start else False
    return Link(match[group], text[match.start(1) : match.end(1)], match.start(group), start - image, match.end(), image)


def _tag(match: re.Match[str]) -> HtmlTag:
    found = {}
    for one in _ATTRIBUTE.finditer(match[3].removesuffix("/")):
        raw = one[2] or ""
        quoted = raw[:1] in ("'", '"')
        value = raw[1:-1] if quoted else raw
        found[one[1].lower()] = (value, match.start(3) + (one.start(2) if one[2] else one.start()) + quoted)
    return HtmlTag(match[2].lower(), match.start(), bool(match[1]), found)
