"""The result of one check by the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckupState(StrEnum):
    """``advice`` and ``fine`` let the doctor exit with 0."""

    FINE = "fine"
    ADVICE = "advice"  # works, and could be better
    WRONG = "wrong"
    UNKNOWN = "unknown"  # could not be checked


@dataclass(frozen=True)
class Checkup:
    """One line: what was checked, what was found, and the record, command or step that corrects it."""

    name: str
    state: CheckupState
    found: str
    fix: str = ""

    @property
    def passed(self) -> bool:
        """Return whether nothing has to be done."""
        return self.state in (CheckupState.FINE, CheckupState.ADVICE)


def fine(name: str, found: str) -> Checkup:
    """Return a line with nothing to do."""
    return Checkup(name, CheckupState.FINE, found)


def advise(name: str, found: str, fix: str) -> Checkup:
    """Return a line with something that could be better."""
    return Checkup(name, CheckupState.ADVICE, found, fix)


def wrong(name: str, found: str, fix: str) -> Checkup:
    """Return a line with something that must be corrected."""
    return Checkup(name, CheckupState.WRONG, found, fix)


def unknown(name: str, found: str, fix: str) -> Checkup:
    """Return a line about something that could not be checked."""
    return Checkup(name, CheckupState.UNKNOWN, found, fix)
