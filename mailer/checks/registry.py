"""The list of checks: each is one small function with an id, a level and a sentence about what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mailer.checks.context import Context
from mailer.checks.document import Document


@dataclass(frozen=True)
class Fix:
    """Put ``text`` in the place of what stands between ``start`` and ``end``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Found:
    """What a check says: ``at`` is an offset in the document's text; ``level`` when it differs from the check's own."""

    at: int
    message: str
    fix: Fix | None = None
    level: str = ""


@dataclass(frozen=True)
class Remark:
    """A finding as people and machines read it; line and column count from 1."""

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
    """``level`` is error, warning or note; ``about`` says in a sentence what it finds."""

    id: str
    level: str
    about: str
    look: Look


CHECKS: dict[str, Check] = {}


def check(id: str, level: str, about: str) -> Callable[[Look], Look]:
    """Put a function on the list of checks."""

    def listed(look: Look) -> Look:
        assert id not in CHECKS, id
        CHECKS[id] = Check(id, level, about, look)
        return look

    return listed
