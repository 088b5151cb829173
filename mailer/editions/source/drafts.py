"""Which texts are drafts, in this tool's words and in those of other generators.

``docs/how-to/writing.md`` has the table. Sources: Hugo's front matter and build options (https://gohugo.io/content-management/),
Jekyll's ``published`` and ``_drafts`` (https://jekyllrb.com/docs/posts/#drafts), Zola's ``draft`` and ``render``
(https://www.getzola.org/documentation/content/page/), Eleventy's ``permalink: false`` and ``eleventyExcludeFromCollections``
(https://www.11ty.dev/docs/), ``_`` before a file's name as Astro has it, and the ``unlisted`` of many themes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import PurePath

from mailer.core.edition import SendIntent
from mailer.editions.source import front_matter
from mailer.editions.source.fields import KNOWN
from mailer.editions.source.front_matter import NOT_YET, Source

_YES = {"true", "yes", "y", "on", "1"}
_NO = {"false", "no", "n", "off", "0"}
_EMPTY = {"", "null", "~"}  # a field without a value
_KNOWN = KNOWN | NOT_YET
_DRAFT = ("draft", "isdraft", "is_draft")
_PUBLISHED = ("published", "publish")
_BUILD = re.compile(r"[\"']?(render|list)[\"']?\s*:\s*[\"']?(\w+)")


class Says(Enum):
    """How certain it is that a text is not to be published."""

    DRAFT = 1  # left out, whatever `Send:` says
    LATER = 2  # left out; together with `Send:` an error
    HIDDEN = 3  # its page is in no list; together with `Send:` an error
    NOTHING = 4  # unreadable, which is an error


@dataclass(frozen=True)
class NotYet:
    """What prevents a text from being emailed: the field ("" for the file's name) and its value."""

    field: str
    words: str
    says: Says = Says.DRAFT
    advice: str = "remove one of the two"


@dataclass(frozen=True)
class Candidate:
    """A text that may be a draft: its fields, its path below the content folder, the site's zone, and the time of the build."""

    fields: Mapping[str, str]
    path: PurePath
    zone: str
    now: datetime

    def plain(self, name: str) -> str:
        """Return a field without quotes, comment and capitals."""
        return _plain(self.fields.get(name, ""))


def judge(source: Source, text: Candidate, send: SendIntent) -> bool:
    """Is the text left out of the build as a draft? A contradiction is reported as an error of the source."""
    found = list(_reasons(text))
    if any(one.says is Says.DRAFT for one in found):
        return True
    for one in found:
        if one.says is Says.NOTHING:
            source.error(one.field, f"{one.words} is not valid: {one.advice}.")
        elif send is not SendIntent.NO:
            source.error(one.field, f"{one.words} marks this issue as not ready, but `Send:` asks to send it: {one.advice}.")
    if send is SendIntent.YES:
        _insist_on_past(source, text)
    return any(one.says is Says.LATER for one in found)


def is_draft(text: Candidate) -> bool:
    """Is the text a draft? Nothing is reported."""
    return any(one.says in (Says.DRAFT, Says.LATER) for one in _reasons(text))


def status(fields: Mapping[str, str]) -> str:
    """Return the value of ``Status:`` without quotes, comment and capitals."""
    return _plain(fields.get("status", ""))


def _insist_on_past(source: Source, text: Candidate) -> None:
    date = text.fields.get("date", "")
    dated = _moment(date, text.zone)
    if dated and dated > text.now:
        how = f"write `Send: {dated:%Y-%m-%d %H:%M} {text.zone}` to send it then, or correct `Date:`"
        source.error("date", f"`Date: {date}` is in the future, but `Send: yes` sends the issue immediately: {how}.")


def _reasons(text: Candidate) -> Iterator[NotYet]:
    if "status" in text.fields:
        yield from _status(text.plain("status"))
    if text.fields.keys() & NOT_YET:
        for name in (*_DRAFT, *_PUBLISHED):
            yield from _flag(text, name)
        yield from _elsewhere(text)
        for name in ("publishdate", "publish_date", "pubdate"):
            yield from _dated(text, name, ahead=True)
        for name in ("expirydate", "unpublishdate"):
            yield from _dated(text, name, ahead=False)
    yield from _by_name(text.path)
    yield from _misspelt(text)


def _status(word: str) -> Iterator[NotYet]:
    words = f"`Status: {word[:40]}`"
    if word in ("draft", "skip"):
        yield NotYet("status", words)
    elif word == "hidden":
        yield NotYet("status", words, Says.HIDDEN)
    elif word not in ("published", *_EMPTY):
        yield NotYet("status", words, Says.NOTHING, "write `Status: draft`, or remove the line")


def _flag(text: Candidate, name: str) -> Iterator[NotYet]:
    value = text.plain(name)
    holds, lets = (_NO, _YES) if name in _PUBLISHED else (_YES, _NO)
    if value in holds:
        yield NotYet(name, f"`{name}: {value}`")
    elif name == "published" and _moment(value, text.zone):  # Hugo reads a date here
        yield from _dated(text, name, ahead=True)
    elif value not in (*lets, *_EMPTY):
        yield NotYet(name, f"`{name}: {value[:40]}`", Says.NOTHING, f"write `{name}: true` or `{name}: false`")


def _elsewhere(text: Candidate) -> Iterator[NotYet]:
    """Yield settings of other generators that keep a page from being built or listed."""
    for name, values in (("headless", _YES), ("permalink", _NO), ("render", _NO)):
        if (value := text.plain(name)) in values:
            yield NotYet(name, f"`{name}: {value}`")
    for name in ("hidden", "unlisted", "eleventyexcludefromcollections"):
        if (value := text.plain(name)) in _YES:
            yield NotYet(name, f"`{name}: {value}`", Says.HIDDEN)
    for name in ("build", "_build"):
        for what, value in _BUILD.findall(text.fields.get(name, "").lower()):
            if value not in ("always", "true"):
                yield NotYet(name, f"`{name}: {what}: {value}`", Says.DRAFT if what == "render" else Says.HIDDEN)


def _dated(text: Candidate, name: str, ahead: bool) -> Iterator[NotYet]:
    """Read a day from which on, or until which, a text is published."""
    value = text.plain(name)
    at, words = _moment(value, text.zone), f"`{name}: {value[:40]}`"
    if at and (at > text.now) is ahead:
        yield NotYet(name, words, Says.LATER)
    elif not at and value not in _EMPTY:
        yield NotYet(name, words, Says.NOTHING, "write the day as 2026-11-24, or remove the line")


def _by_name(path: PurePath) -> Iterator[NotYet]:
    folders = [folder.lower() for folder in path.parts[:-1]]
    if "_drafts" in folders:
        yield NotYet("", "The folder `_drafts`")
    if "drafts" in folders:
        yield NotYet("", "The folder `drafts`", Says.HIDDEN, "move the file, or remove `Send:`")
    if path.name.startswith("_"):
        yield NotYet("", f"The `_` before the file's name, {path.name},", Says.HIDDEN, "rename the file, or remove `Send:`")


def _misspelt(text: Candidate) -> Iterator[NotYet]:
    """Find misspelled fields such as ``Satus: draft`` and ``Darft: true``: ignored, they would let the issue be emailed."""
    for name in text.fields.keys() - _KNOWN:
        value = text.plain(name)
        close = difflib.get_close_matches(name, ("status", "draft"), n=1, cutoff=0.72)
        if close and value in ("draft", "skip", "hidden", *_YES):
            yield NotYet(name, f"`{name}: {value}`", Says.HIDDEN, f"correct it to `{close[0].title()}:`, or remove it")


def _moment(value: str, zone: str) -> datetime | None:
    return front_matter.date(Source(""), value, zone) if value not in _EMPTY else None


def _plain(value: str) -> str:
    """Return a value without quotes, comment and capitals."""
    return re.split(r"\s#", value, maxsplit=1)[0].strip().strip("\"'").strip().lower()
