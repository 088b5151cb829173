"""Single values of a list's cells: dates, tags, words for a state. Each raises BadInput with what is wrong."""

from __future__ import annotations

import ast
import contextlib
import csv
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from dateutil import parser as dates

from mailer.core.errors import BadInput

MAX_DATE_CHARS = 100
MAX_TAGS_CHARS = 20_000  # of a cell with tags
MOST_TAG = 100  # characters
MOST_METADATA = 20_000  # characters of JSON

ACTIVE, UNCONFIRMED, LEFT = "active", "unconfirmed", "left"
BOUNCED, COMPLAINED, BLOCKED = "hard bounce", "complaint", "operator"

# What programs call a reader's state, as (state, reason why the address is not mailed).
_STATES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("active", "subscribed", "confirmed", "enabled", "regular", "premium", "gifted", "trialed", "unpaid", "past_due",
         "churning", "churned", "upcoming", "yes", "true", "1", "paid", "free", "comped"),
        (ACTIVE, ""),
    ),
    **dict.fromkeys(("unconfirmed", "unactivated", "pending", "unverified", "paused", ""), (UNCONFIRMED, "")),
    **dict.fromkeys(("left", "unsubscribed", "removed", "inactive", "disabled", "no", "false", "0"), (LEFT, "")),
    **dict.fromkeys(("bounced", "cleaned", "undeliverable", "hard bounce"), (ACTIVE, BOUNCED)),
    **dict.fromkeys(("complained", "complaint", "spam"), (ACTIVE, COMPLAINED)),
    **dict.fromkeys(("blocklisted", "blocked", "suppressed", "spammy"), (LEFT, BLOCKED)),
}  # fmt: skip


def state(word: str) -> tuple[str, str]:
    """Our state for another program's word, and the reason for which the address is not mailed, or ''."""
    try:
        return _STATES[word.strip().lower()]
    except KeyError:
        raise BadInput(f"the state {word.strip()[:30]!r} is not known") from None


def flag(word: str) -> bool | datetime:
    """What a cell says of a thing that happened or did not: yes, no, or when."""
    word = word.strip().lower()
    if word in ("true", "yes", "1", "t", "y", "x"):
        return True
    if word in ("false", "no", "0", "f", "n", ""):
        return False
    try:
        found = None if word.isdigit() else moment(word)
    except BadInput:
        found = None
    if found is None:
        raise BadInput(f"{word[:40]!r} is neither yes nor no nor a date")
    return found


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime | None:
    """A date and time, in UTC when it names no zone; None for an empty cell."""
    text = text.strip()
    if not text:
        return None
    if len(text) > MAX_DATE_CHARS:
        raise BadInput(f"{text[:40]!r} is not a date: it has more than {MAX_DATE_CHARS} characters")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = dates.parse(text)
        except (ValueError, OverflowError):
            raise BadInput(f"{text[:40]!r} is not a date: write it as 2026-11-24 or 2026-11-24T09:30:00Z") from None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{text[:40]!r} is not a date: write it as 2026-11-24 or 2026-11-24T09:30:00Z") from None


@lru_cache(maxsize=4096)
def tags(text: str) -> tuple[str, ...]:
    """Tags of a cell: a JSON array, or words between commas or semicolons, quoted where they hold one."""
    text = text.strip()
    if not text:
        return ()
    if len(text) > MAX_TAGS_CHARS:
        raise BadInput(f"the tags {text[:30]!r} have more than {MAX_TAGS_CHARS:,} characters")
    found = _json_tags(text) if text.startswith("[") else _listed(text)
    flat = [" ".join(tag.split()).lower() for tag in found]
    for tag in flat:
        if len(tag) > MOST_TAG or not tag.isprintable():
            raise BadInput(f"the tag {tag[:30]!r} is longer than {MOST_TAG} characters or holds signs that cannot be read")
    return tuple(sorted({tag for tag in flat if tag}))


def _json_tags(text: str) -> list[str]:
    found: object = None
    for read in (json.loads, ast.literal_eval):  # Python's way of writing a list is seen in exports as well
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            found = read(text)
            break
    if not isinstance(found, list) or not all(isinstance(tag, str) for tag in found):
        raise BadInput(f"the tags {text[:30]!r} are not a JSON array of words")
    return found


def _listed(text: str) -> list[str]:
    mark = ";" if ";" in text and "," not in text else ","
    try:
        return next(csv.reader([text], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        raise BadInput(f"the tags {text[:30]!r} cannot be read") from None


def metadata(text: str) -> dict[str, Any]:
    """A JSON object of plain values (text, numbers, true, false, null); lists and objects inside are kept as JSON text."""
    found = as_json(text, "metadata") if text.strip() else {}
    if not isinstance(found, dict) or len(text) > MOST_METADATA:
        raise BadInput(f"the metadata {text[:30]!r} is not a JSON object of at most {MOST_METADATA:,} characters")
    return {key: _plain(value) for key, value in found.items()}


def as_json(text: str, what: str) -> Any:
    """JSON that Postgres takes as well: no NaN, no endless number, no half sign."""
    try:
        found = json.loads(text)
        if "\\u" in text or not text.isascii() or "e" in text or "E" in text or "N" in text or "I" in text:
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadInput(f"the {what} {text[:30]!r} is not JSON") from None
    if "\\u0000" in text:
        raise BadInput(f"the {what} holds a NUL sign")
    return found


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
