"""Liquid in the texts of Jekyll: links, pictures, embeds, plain includes and variables become Markdown; the rest is named."""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mailer.archives.picture_links import has_picture_name, split_outside_code
from mailer.archives.shortcodes import RemovedTags, read_arguments, write_code, write_embed, write_figure

MAX_INCLUDE_CHARS = 50_000
_MAX_INCLUDE_DEPTH = 4
_MAX_INCLUDED_CHARS = 500_000  # in one text
_TAG = re.compile(
    r"\{%-?\s*(?P<name>\w+)\b(?P<words>(?:[^%{]|%(?!\})|\{(?!%)){0,2000}?)-?%\}|\{\{-?\s*(?P<value>[^{}]{1,500}?)\s*-?\}\}"
)
_BLOCKS = ("raw", "comment", "highlight", "capture")
_ASSIGN = re.compile(r"\s*([\w-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')\s*")
_VALUE = re.compile(r"(?:\"([^\"]*)\"|'([^']*)'|([\w.-]+))((?:\s*\|\s*[\w: \"'./-]+)*)")
_PLAIN_FILTERS = {"relative_url", "absolute_url", "escape", "xml_escape", "strip", "prepend", "strip_html", "strip_newlines"}
_PICTURE_WORDS = ("src", "url", "file", "image", "image_path", "path", "img")
_DEFINITION = re.compile(r" {0,3}\[([^\]\n]{1,999})\]:.*")


@dataclass(frozen=True)
class LiquidSite:
    """``addresses`` of posts by their file's name without its extension; ``variables`` such as ``site.title``.

    ``read_include`` returns the text of a file of ``_includes``, or None.
    """

    addresses: Mapping[str, str]
    variables: Mapping[str, str]
    read_include: Callable[[str], str | None]


def expand_liquid(body: str, site: LiquidSite, page: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return Markdown without Liquid's tags, and sentences about those removed. ``page`` are the front matter's texts."""
    removed = RemovedTags()
    own = {f"page.{name}": value for name, value in page.items()}
    expansion = _Expansion(site, {**site.variables, **own, "site.baseurl": "", "site.url": ""}, removed)
    text = expansion.expand(body)
    return _drop_unused(text, expansion.defined), removed.describe()


class _Expansion:
    def __init__(self, site: LiquidSite, variables: dict[str, str], removed: RemovedTags) -> None:
        self._site, self._variables, self._removed = site, variables, removed
        self._included_chars = 0
        self.defined: set[str] = set()  # lines of included link definitions

    def expand(self, body: str, depth: int = 0) -> str:
        """Expand one text. Tags in fenced code stay, but for ``raw`` and ``highlight``, which are there for code."""
        tags, code = list(_TAG.finditer(body)), _list_code(body)
        ends: dict[str, list[int]] = defaultdict(list)
        for number, tag in enumerate(tags):
            ends[tag["name"] or ""].append(number)
        made: list[str] = []
        at = number = 0
        while number < len(tags):
            tag = tags[number]
            made.append(body[at : tag.start()])
            later = ends[f"end{tag['name']}"] if tag["name"] in _BLOCKS else []
            close = bisect.bisect(later, number)
            if close < len(later):
                end = tags[later[close]]
                made.append(self._write_block(tag["name"], tag["words"], body[tag.end() : end.start()], depth))
                at, number = end.end(), later[close]
            else:
                made.append(tag[0] if _is_inside(code, tag.start()) else self._write(tag, depth))
                at = tag.end()
            number += 1
        return "".join([*made, body[at:]])

    def _write_block(self, name: str, words: str, inner: str, depth: int) -> str:
        if name == "highlight":
            return write_code((words.split() or [""])[0], inner.strip("\n"))
        if name == "capture":
            self._variables[words.strip().strip("\"'")] = self.expand(inner, depth).strip()
        return inner if name == "raw" else ""

    def _write(self, tag: re.Match[str], depth: int) -> str:
        made = self._find_value(tag["value"]) if tag["value"] else self._write_tag(tag["name"], tag["words"].strip(), depth)
        if made is None:
            name = tag["name"] or re.split(r"[\s|]", tag["value"])[0]
            if not name.startswith("end"):
                self._removed.add(name, tag[0])
        return made or ""

    def _find_value(self, value: str) -> str | None:
        match = _VALUE.fullmatch(value.strip())
        if match is None or not {one.split(":")[0].strip() for one in match[4].split("|") if one.strip()} <= _PLAIN_FILTERS:
            return None
        literal = match[1] if match[1] is not None else match[2]
        return literal if literal is not None else self._variables.get(match[3])

    def _write_tag(self, name: str, words: str, depth: int) -> str | None:
        if name in ("post_url", "link"):
            path = (words.split() or [""])[0]
            stem = re.sub(r"\.\w+$", "", path.rpartition("/")[2])
            return self._site.addresses.get(stem) or (f"/{path.strip('/')}" if name == "link" else "#")
        if name == "assign":
            match = _ASSIGN.fullmatch(words)
            if match:
                self._variables[match[1]] = match[2] if match[2] is not None else match[3]
            return "" if match else None
        if name in ("include", "include_relative", "include_cached"):
            return self._write_include(words, depth)
        if name in ("img", "image", "picture"):
            pictures = [word for word in read_arguments(words).values() if has_picture_name(word)]
            return f"![]({pictures[0]})" if pictures else None
        return write_embed(name, read_arguments(words))

    def _write_include(self, words: str, depth: int) -> str | None:
        path, _, rest = words.partition(" ")
        given = {name: self._find_value(value) or value for name, value in read_arguments(rest).items()}
        picture = next((given[name] for name in _PICTURE_WORDS if has_picture_name(given.get(name, ""))), "")
        if picture:
            return write_figure({**given, "src": picture})
        text = self._site.read_include(path.strip("\"'"))
        if (embed := write_embed(re.sub(r"\.\w+$", "", path.rpartition("/")[2]), given)) is not None:
            return embed
        if text is None or depth >= _MAX_INCLUDE_DEPTH or re.search(r"\{%-?\s*(?:if|for|case|unless|tablerow)\b", text):
            return None
        self._included_chars += len(text)
        if self._included_chars > _MAX_INCLUDED_CHARS:
            return None
        self._variables |= {f"include.{name}": value for name, value in given.items()}
        made = self.expand(text, depth + 1).strip()
        self.defined |= {line for line in made.split("\n") if _DEFINITION.fullmatch(line)}
        return made


def _list_code(body: str) -> list[tuple[int, int]]:
    found, at = [], 0
    for part, is_code in split_outside_code(body):
        if is_code:
            found.append((at, at + len(part)))
        at += len(part)
    return found


def _is_inside(spans: list[tuple[int, int]], at: int) -> bool:
    before = bisect.bisect(spans, at, key=lambda span: span[0]) - 1
    return before >= 0 and at < spans[before][1]


def _drop_unused(text: str, defined: set[str]) -> str:
    """Remove included link definitions that no reference of the text uses: a site includes all of its links everywhere."""
    if not defined:
        return text
    lines = text.split("\n")
    others = "\n".join(line for line in lines if line not in defined)
    used = {" ".join(label.lower().split()) for label in re.findall(r"\[([^\[\]]{1,999})\]", others)}

    def stays(line: str) -> bool:
        match = _DEFINITION.fullmatch(line) if line in defined else None
        return match is None or " ".join(match[1].lower().split()) in used

    return "\n".join(line for line in lines if stays(line))
