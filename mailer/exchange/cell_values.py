"""Parsers for single cells: dates, tags, states. Each raises BadInput saying what is wrong."""

from __future__ import annotations

import ast
import contextlib
import csv
import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from mailer.core.errors import BadInput
from mailer.exchange.dates import DayOrder, parse_date

MAX_TAGS_CHARS = 20_000  # in one cell
MAX_TAG_CHARS = 100  # characters
MAX_METADATA_CELL_CHARS = 20_000  # characters of JSON

ACTIVE, UNCONFIRMED, UNSUBSCRIBED = "active", "unconfirmed", "unsubscribed"
BOUNCED, COMPLAINED, BLOCKED = "hard bounce", "complaint", "operator"

# Other programs' words for a subscriber's state, as (state, reason for a suppression).
_STATES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("active", "subscribed", "confirmed", "enabled", "regular", "premium", "gifted", "trialed", "unpaid", "past_due",
         "churning", "churned", "upcoming", "yes", "true", "1", "paid", "free", "comped"),
        (ACTIVE, ""),
    ),
    **dict.fromkeys(("unconfirmed", "unactivated", "pending", "unverified", "paused", ""), (UNCONFIRMED, "")),
    **dict.fromkeys(("left", "unsubscribed", "removed", "inactive", "disabled", "no", "false", "0"), (UNSUBSCRIBED, "")),
    **dict.fromkeys(("bounced", "cleaned", "undeliverable", "hard bounce"), (ACTIVE, BOUNCED)),
    **dict.fromkeys(("complained", "complaint", "spam"), (ACTIVE, COMPLAINED)),
    **dict.fromkeys(("blocklisted", "blocked", "suppressed", "spammy"), (UNSUBSCRIBED, BLOCKED)),
}  # fmt: skip


def parse_state(word: str) -> tuple[str, str]:
    """Return our state for another program's word, and the reason for a suppression, or ''."""
    try:
        return _STATES[word.strip().lower()]
    except KeyError:
        raise BadInput(f"the state {word.strip()[:30]!r} is unknown") from None


def parse_flag(word: str, order: DayOrder | None = None) -> bool | datetime:
    """Parse a cell about an event that may have happened: yes, no, or when."""
    said = word.strip().lower()
    if said in ("true", "yes", "1", "t", "y", "x"):
        return True
    if said in ("false", "no", "0", "f", "n", ""):
        return False
    try:
        found = parse_moment(word, order)
    except BadInput:
        found = None
    if found is None:
        raise BadInput(f"{said[:40]!r} is neither yes nor no nor a date")
    return found


@lru_cache(maxsize=4096)
def parse_moment(text: str, order: DayOrder | None = None) -> datetime | None:
    """Parse a date and time, in UTC if it has no zone; None for an empty cell. ``order`` is of day and month."""
    if not text.strip():
        return None
    found = parse_date(text, order)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@lru_cache(maxsize=4096)
def parse_tags(text: str) -> tuple[str, ...]:
    """Parse a cell of tags: a JSON array, or words separated by commas or semicolons, quoted if they contain one."""
    text = text.strip()
    if not text:
        return ()
    if len(text) > MAX_TAGS_CHARS:
        raise BadInput(f"the tags {text[:30]!r} have more than {MAX_TAGS_CHARS:,} characters")
    found = _parse_json_tags(text) if text.startswith("[") else _split_tags(text)
    flat = [" ".join(tag.split()).lower() for tag in found]
    for tag in flat:
        if len(tag) > MAX_TAG_CHARS or not tag.isprintable():
            raise BadInput(f"the tag {tag[:30]!r} is longer than {MAX_TAG_CHARS} characters or contains unprintable ones")
    return tuple(sorted({tag for tag in flat if tag}))


def _parse_json_tags(text: str) -> list[str]:
    found: object = None
    for read in (json.loads, ast.literal_eval):  # some exports contain Python's notation of a list
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            found = read(text)
            break
    if not isinstance(found, list) or not all(isinstance(tag, str) for tag in found):
        raise BadInput(f"the tags {text[:30]!r} are not a JSON array of strings")
    return found


def _split_tags(text: str) -> list[str]:
    mark = ";" if ";" in text and "," not in text else ","
    flat = re.sub(r"[\r\n]+", mark, text)  # one on each line of the cell
    try:
        return next(csv.reader([flat], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        raise BadInput(f"the tags {text[:30]!r} cannot be read") from None


def parse_metadata(text: str) -> dict[str, Any]:
    """Parse a JSON object of plain values (text, numbers, true, false, null); nested values are kept as JSON text."""
    found = parse_json(text, "metadata") if text.strip() else {}
    if not isinstance(found, dict) or len(text) > MAX_METADATA_CELL_CHARS:
        raise BadInput(f"the metadata {text[:30]!r} is not a JSON object of at most {MAX_METADATA_CELL_CHARS:,} characters")
    return {key: _plain(value) for key, value in found.items()}


def parse_json(text: str, what: str) -> Any:
    """Parse JSON that Postgres accepts too: no NaN, no infinity, no lone surrogates."""
    try:
        found = json.loads(text)
        if "\\u" in text or not text.isascii() or "e" in text or "E" in text or "N" in text or "I" in text:
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadInput(f"the {what} {text[:30]!r} is not JSON") from None
    if "\\u0000" in text:
        raise BadInput(f"the {what} contains a NUL character")
    return found


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
