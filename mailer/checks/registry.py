"""The list of checks: each is one small function with an id, a level and a sentence about what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from mailer.checks.context import Context
from mailer.checks.document import Document

_MAX_LISTED_LINES = 12  # that one finding lists


@dataclass(frozen=True)
class Fix:
    """Replace the text between ``start`` and ``end`` by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Found:
    """A finding of a check: ``at`` is an offset in the document's text; ``level`` is set if it differs from the check's own.

    ``more`` are the fixes of the other places that it lists.
    """

    at: int
    message: str
    fix: Fix | None = None
    level: str = ""
    more: tuple[Fix, ...] = ()


@dataclass(frozen=True)
class Remark:
    """A finding for people and machines; line and column count from 1."""

    id: str
    level: str
    path: str
    line: int
    column: int
    message: str
    fix: Fix | None = None
    more: tuple[Fix, ...] = ()  # of other places that the message lists

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """All fixes."""
        return (self.fix, *self.more) if self.fix else self.more

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.level}: {self.message} [{self.id}]"


Look = Callable[[Document, Context], Iterable[Found]]


@dataclass(frozen=True)
class Check:
    """``level`` is error, warning or note; ``about`` describes in a sentence what the check finds."""

    id: str
    level: str
    about: str
    look: Look


CHECKS: dict[str, Check] = {}


def shorten(text: str, length: int) -> str:
    """Return a text on one line; cut between two words, or after ``length`` characters of a long one, and marked with “…”."""
    flat = " ".join(text.split())
    if len(flat) <= length:
        return flat
    head = flat[: length - 1]
    words = head if flat[length - 1] == " " else head.rpartition(" ")[0]
    return (words if 2 * len(words) > length else head).rstrip(" ,.;:") + "…"


def list_lines(doc: Document, places: Iterable[int]) -> str:
    """Return the sentence that names the lines of these places beside the first one's line; '' if there is no other."""
    _first, *others = dict.fromkeys(doc.place(at)[0] for at in places)
    if not others:
        return ""
    shown = ", ".join(map(str, others[:_MAX_LISTED_LINES])) + (", …" if len(others) > _MAX_LISTED_LINES else "")
    return f" Also in line{'s' if len(others) > 1 else ''} {shown}."


def group(doc: Document, findings: Iterable[Found]) -> Iterator[Found]:
    """Unite the findings of each level to one at the first place that lists the lines of the others."""
    levels: dict[str, list[Found]] = {}
    for one in sorted(findings, key=lambda one: one.at):
        levels.setdefault(one.level, []).append(one)
    for several in levels.values():
        fixes = tuple(one.fix for one in several[1:] if one.fix)
        message = several[0].message + list_lines(doc, (one.at for one in several))
        yield replace(several[0], message=message, more=fixes)


def check(id: str, level: str, about: str) -> Callable[[Look], Look]:
    """Register a function as a check."""

    def listed(look: Look) -> Look:
        assert id not in CHECKS, id
        CHECKS[id] = Check(id, level, about, look)
        return look

    return listed
