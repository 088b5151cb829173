"""Dates and time zones as people write them, in lists of subscribers and in front matter.

A date is never guessed: 03/04/2026 is refused unless the order of day and month is known, and so is an abbreviation such as
EST, which means another offset in July or on another continent.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from dateutil import parser

from mailer.core.characters import MAX_DATE_CHARS
from mailer.core.errors import BadInput

EXAMPLE = "2026-11-24 or 2026-11-24T09:30:00Z"
_DEFAULTS = datetime(1, 1, 1), datetime(2, 2, 1)  # a year or a month that follows the default was not written
_PIVOT = 69  # two-digit years from here on are of the last century, as POSIX says
_NUMERIC = re.compile(r"(?:[^\W\d]+\.?,?\s+)?(\d{1,2})\s*([./ -])\s*(\d{1,2})\s*\2\s*(\d{4}|\d\d)(?!\d)")
_YEAR_FIRST = re.compile(r"(\d{4})([./ -])(\d{1,2})\2(\d{1,2})(?!\d)")
_ZONE_KEY = re.compile(r"[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+)+|[A-Z][a-z]+")
_ENDS_WITH_ZONE = re.compile(r"(.*\d.*?)\s*([A-Za-z]+(?:/[A-Za-z0-9_+-]+)+)$")
_DOTTED_TIME = re.compile(r"^(\s+\d\d?)\.(\d\d)\b(?!\.)")
_UTC_OFFSET = re.compile(r"\s*\b(?:UTC|GMT)\s*(?=[+-]\d)")  # dateutil takes GMT+3 for three hours behind, as POSIX does
_OFFSET_UTC = re.compile(r"(?<=[+-]\d{4})\s+(?:UTC|GMT)$")  # as Go writes it
_UTC_NAMES = ("UTC", "GMT", "Z")
_ZONES = {
    **dict.fromkeys(("EST", "EDT", "ET", "EST5EDT"), "America/New_York"),
    **dict.fromkeys(("CST", "CDT", "CT", "CST6CDT"), "America/Chicago"),
    **dict.fromkeys(("MST", "MDT", "MT", "MST7MDT"), "America/Denver"),
    **dict.fromkeys(("PST", "PDT", "PT", "PST8PDT"), "America/Los_Angeles"),
    **dict.fromkeys(("BST", "WET", "WEST"), "Europe/London"),
    **dict.fromkeys(("EET", "EEST"), "Europe/Athens"),
    **dict.fromkeys(("AEST", "AEDT"), "Australia/Sydney"),
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
}


class DayOrder(StrEnum):
    """Whether the day or the month comes first in a date of numbers."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


def parse_zone(name: str) -> tzinfo:
    """Return the time zone of a key such as Europe/Berlin, or UTC. Raises BadInput for abbreviations and unknown names."""
    if name.upper() in _UTC_NAMES:
        return UTC
    try:
        if not _ZONE_KEY.fullmatch(name) or name == "Factory":
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # zoneinfo raises a KeyError for a key that it does not know
        example = _ZONES.get(name.upper(), "Europe/Berlin")
        raise BadInput(f"{name[:40]!r} is not a time zone: write a name such as {example}, or UTC") from None


def parse_date(text: str, order: DayOrder | None = None) -> datetime:
    """Parse a date, with or without a time; naive unless it names an offset or a zone. Dots are always day-first.

    Raises BadInput: half a sentence, without a full stop.
    """
    text = text.strip()
    if len(text) > MAX_DATE_CHARS:
        raise BadInput(f"{text[:40]!r} is not a date: it has more than {MAX_DATE_CHARS} characters")
    try:
        return _check_range(_parse(text, order))
    except (ValueError, OverflowError):
        raise BadInput(f"{text[:40]!r} is not a date: write it as {EXAMPLE}") from None


def read_order(text: str) -> DayOrder | None:
    """Return the only order of day and month in which ``text`` is a date; None if both or neither are possible."""
    match = _NUMERIC.match(text)
    if match is None or match[2] == ".":
        return None
    first, second = int(match[1]), int(match[3])
    if first > 12 >= second:
        return DayOrder.DAY_FIRST
    return DayOrder.MONTH_FIRST if second > 12 >= first else None


def is_ambiguous(text: str) -> bool:
    """Return whether day and month of ``text`` can be exchanged, and that gives another date."""
    match = _NUMERIC.match(text)
    return bool(match and match[2] != "." and max(int(match[1]), int(match[3])) <= 12 and int(match[1]) != int(match[3]))


def decide_order(cells: Iterable[tuple[int, str]]) -> DayOrder | None:
    """Return the order of day and month in a list's dates, given with their lines; None if no date depends on it.

    Raises BadInput if the dates contradict each other, or if nothing decides.
    """
    seen: dict[DayOrder, tuple[int, str]] = {}
    open_question: tuple[int, str] | None = None
    for line, text in cells:
        if order := read_order(text.strip()):
            seen.setdefault(order, (line, text.strip()[:40]))
        elif open_question is None and is_ambiguous(text.strip()):
            open_question = line, text.strip()[:40]
    if len(seen) > 1:
        (day_line, day), (month_line, month) = (seen[order] for order in DayOrder)
        raise BadInput(
            f"The dates are day-first in line {day_line} ({day}) and month-first in line {month_line} ({month}): correct the"
            " file, or say which with --dates day-first or --dates month-first (API: `dates`); the others are then refused."
        )
    if open_question and not seen:
        line, text = open_question
        raise BadInput(
            f"Is {text} in line {line} day-first or month-first? No date in the file decides it:"
            " add --dates day-first or --dates month-first (API: `dates`)."
        )
    return next(iter(seen), None)


def _parse(text: str, order: DayOrder | None) -> datetime:
    if text.isdigit() and len(text) != len("20261124"):
        raise ValueError("a number such as seconds since 1970, not a date")
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    if match := _ENDS_WITH_ZONE.fullmatch(text):
        return _parse(match[1], order).replace(tzinfo=parse_zone(match[2]))
    if match := _NUMERIC.match(text):
        return _parse_words(_rewrite(match, order) + _DOTTED_TIME.sub(r"\1:\2", text[match.end() :]))
    if match := _YEAR_FIRST.match(text):
        text = f"{match[1]}-{int(match[3]):02}-{int(match[4]):02}{text[match.end() :]}"
    return _parse_words(text)


def _rewrite(match: re.Match[str], order: DayOrder | None) -> str:
    """Return a date of numbers as 2026-11-24."""
    order = DayOrder.DAY_FIRST if match[2] == "." else read_order(match[0]) or order
    if order is None and is_ambiguous(match[0]):
        raise BadInput(f"{match[0]!r} may be day-first or month-first: write it as {EXAMPLE}")
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if len(match[4]) == 2:
        year += 1900 if year >= _PIVOT else 2000
    day, month = (second, first) if order == DayOrder.MONTH_FIRST else (first, second)
    return f"{datetime(year, month, day):%Y-%m-%d}"


def _parse_words(text: str) -> datetime:
    """Parse a date that leaves nothing to guess but its notation. What it does not say is not taken from today."""
    text = _UTC_OFFSET.sub(" ", _OFFSET_UTC.sub("", text))
    found, other = (parser.parse(text, default=default, tzinfos=_read_offset) for default in _DEFAULTS)
    if (found.year, found.month) != (other.year, other.month):
        raise ValueError("no year or no month")
    whole: datetime = found
    return whole


def _read_offset(name: str | None, offset: int | None) -> tzinfo | None:
    if name and name.upper() not in _UTC_NAMES:
        parse_zone(name)
    return None if offset is None else timezone(timedelta(seconds=offset))


def _check_range(found: datetime) -> datetime:
    """Refuse a date that is outside the calendar in some zone."""
    if found.year in (1, datetime.max.year):
        raise ValueError("outside the calendar")
    return found
