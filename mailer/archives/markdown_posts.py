"""Markdown files of other tools: front matter in YAML, TOML or JSON, and the pictures that a text shows."""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from html import escape, unescape
from typing import Any
from urllib.parse import unquote

import yaml  # type: ignore[import-untyped]

from mailer.archives.archive_files import ArchiveContents
from mailer.archives.html_to_markdown import MAX_POST_CHARS, ConvertedText, PictureList, make_safe
from mailer.archives.picture_links import change_pictures, has_picture_name, split_outside_code
from mailer.core.errors import BadInput
from mailer.editions.source import front_matter
from mailer.exchange.dates import parse_date

MAX_FRONT_MATTER_CHARS = 100_000
# Code in a line, or an element with its content, which does not reach beyond the next one of its kind.
_RAW = re.compile(
    r"`[^`\n]+`|<(?P<name>script|style|iframe|noscript)\b(?P<words>[^<>]{0,5000})>(?P<inner>(?:(?!<(?P=name)\b).)*?)</(?P=name)\s*>",
    re.IGNORECASE | re.DOTALL,
)
_FENCES = {"---": "---", "+++": "+++"}


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads YAML without references to what was said before: they can make a small file a large one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class MarkdownFile:
    """A file with front matter. ``fields`` have names in lower case; ``wrong`` says why they could not be read as meant."""

    fields: Mapping[str, Any]
    body: str
    wrong: str = ""


def split_front_matter(text: str) -> MarkdownFile | None:
    """Split a file, or return None if it has no front matter. Never raises."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    if text.startswith("{\n") or text.startswith('{"'):
        return _split_json(text)
    first, _, rest = text.partition("\n")
    fence = _FENCES.get(first.strip())
    if fence is None:
        return None
    match = re.search(rf"^{re.escape(fence)}[ \t]*$|^\.\.\.[ \t]*$", rest, re.MULTILINE)
    if match is None or match.start() > MAX_FRONT_MATTER_CHARS:
        return MarkdownFile({}, text, f"The front matter begins with {fence} and has no end")
    head, body = rest[: match.start()], rest[match.end() :].lstrip("\n")
    try:
        read = tomllib.loads(head) if fence == "+++" else _PlainLoader(head).get_single_data()
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        fields = front_matter.split("", f"---\n{head}\n---\n".encode()).fields if fence == "---" else {}
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" in line {line + 2}" if line is not None else ""
        return MarkdownFile(dict(fields), body, f"The front matter has an error{where}; it was read as far as possible")
    if not isinstance(read, dict):
        return MarkdownFile({}, body, "" if read is None else "The front matter has no fields")
    return MarkdownFile({str(name).lower(): value for name, value in read.items()}, body)


def _split_json(text: str) -> MarkdownFile | None:
    try:
        read, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return MarkdownFile({str(name).lower(): value for name, value in read.items()}, text[end:].lstrip("\n"))


def read_text_field(fields: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that has a text."""
    values = (fields.get(name) for name in names)
    return next((str(value).strip() for value in values if isinstance(value, (str, int, float)) and str(value).strip()), "")


def read_list_field(fields: Mapping[str, Any], *names: str, separator: str = ",") -> list[str]:
    """Return all entries of these fields; a text is split at ``separator``."""
    found: list[str] = []
    for name in names:
        value = fields.get(name)
        many = value if isinstance(value, list) else str(value).split(separator) if isinstance(value, (str, int)) else []
        for one in many:
            named = one.get("name", "") if isinstance(one, dict) else one
            found += [str(named).strip()] if isinstance(named, (str, int, float)) and str(named).strip() else []
    return list(dict.fromkeys(found))


def read_flag(fields: Mapping[str, Any], name: str) -> bool | None:
    """Return a field that is true or false; None without one."""
    value = fields.get(name)
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    return True if word in ("true", "yes", "1", "on") else False if word in ("false", "no", "0", "off") else None


def read_date_field(fields: Mapping[str, Any], *names: str) -> datetime | None:
    """Return the first of these fields that is a date; naive without a zone."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)
        if isinstance(value, str) and value.strip():
            try:
                return parse_date(value)
            except BadInput:
                continue
    return None


def convert_markdown(body: str, folder: str, files: ArchiveContents) -> ConvertedText:
    """Return the Markdown with marks in the places of the archive's pictures, and without what no page or email may contain.

    ``folder`` is that of the text, to which relative addresses are relative.
    """
    if len(body) > MAX_POST_CHARS:
        return ConvertedText(lost=[f"The text has more than {MAX_POST_CHARS:,} characters and was left out."])

    def find(address: str) -> str:
        path = posixpath.normpath(posixpath.join(folder, unquote(re.split(r"[?#]", address, maxsplit=1)[0])))
        return path if path in files.places and has_picture_name(path) else files.find_picture(address)

    pictures, lost = PictureList(find), RawHtml()
    text = "".join(part if is_code else _RAW.sub(lost.replace, part) for part, is_code in split_outside_code(body))
    placed = change_pictures(text, lambda address, _shown: address if address.startswith("data:") else pictures.place(address))
    return ConvertedText(placed, tuple(pictures.names), lost.describe())


class RawHtml:
    """What was removed from one Markdown text: scripts and styles. Frames became links; pictures in ``noscript`` stay."""

    def __init__(self) -> None:
        self._removed: Counter[str] = Counter()
        self._frames: list[str] = []

    def replace(self, match: re.Match[str]) -> str:
        """Return what stands for an element; code stays."""
        name, line = (match["name"] or "").lower(), match.string[: match.start()].rpartition("\n")[2]
        if not name or (not line.strip() and len(line.expandtabs(4)) >= 4):
            return match[0]
        source = re.search(r"""\bsrc\s*=\s*["']?([^\s"'>]+)""", match["words"]) if name == "iframe" else None
        if source and (url := make_safe(unescape(source[1]))):
            self._frames.append(url)
            alone = not line and not re.match(r"[ \t]*\S", match.string[match.end() :])
            return f"<{url}>" if alone else f'<a href="{escape(url)}">{escape(url)}</a>'
        if name == "noscript":
            return match["inner"] if "<img" in match["inner"].lower() else ""
        self._removed[name] += 1
        return ""

    def describe(self) -> list[str]:
        """Return sentences for the report."""
        frames = [f"Embedded content became a link: {url[:200]}." for url in self._frames]
        return frames + [f"{number} <{name}> removed." for name, number in sorted(self._removed.items())]
