"""The list of checks: each is one small function with an id, a level and a sentence about what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mailer.checks.context import Context
from mailer.checks.document import Document


@dataclass(frozen=True)
class Fix:
    """Replace the text between ``start`` and ``end`` by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Found:
    """A finding of a check: ``at`` is an offset in the document's text; ``level`` is set if it differs from the check's own."""

    at: int
    message: str
    fix: Fix | None = None
    level: str = ""


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


def check(id: str, level: str, about: str) -> Callable[[Look], Look]:
    """Register a function as a check."""

    def listed(look: Look) -> Look:
        assert id not in CHECKS, id
        CHECKS[id] = Check(id, level, about, look)
        return look

    return listed
