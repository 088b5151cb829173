"""Our own export: everything about a subscriber on one line, read back exactly as it was written.

A cell that a spreadsheet would run as a formula gets a leading ``'``; reading removes exactly one. So does the text after a
separator inside a cell: where Windows lists with semicolons, as in German, Excel splits our cells there, whatever the quotes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mailer.core.errors import BadInput
from mailer.exchange import cell_values
from mailer.exchange.formats import OWN_COLUMNS, normalize_name

if TYPE_CHECKING:
    from mailer.exchange.list_files import ListLine

# First characters that need escaping; spreadsheets also take the full-width signs of East Asian keyboards for formulas.
FORMULA_SIGNS = "=+@\uff1d\uff0b\uff0d\uff20-"
FORMULA_STARTS = f"{FORMULA_SIGNS}\t\r\n'"
FORMULA_INSIDE = rf"""([;\t\r\n])(?='*"*[{FORMULA_SIGNS}])"""  # Postgres reads it, too
_GUARDED_INSIDE = re.compile(rf"""(?<=[;\t\r\n])'(?='*"*[{FORMULA_SIGNS}])""")
JSON_COLUMNS = ("tags", "metadata", "flags", "suppression", "consents")
PLAIN_COLUMNS = ("notes", "referrer_url", "utm_campaign", "utm_medium", "utm_source", "unsubscribe_reason")
MAX_PLAIN_CHARS = 100_000  # characters
STATES = ("unconfirmed", "active", "unsubscribed", "")
FREQUENCIES = ("every", "weekly", "monthly")
CONSENT_KINDS = (
    "requested", "confirmed", "unsubscribed", "added", "imported", "address", "chosen", "paused", "resumed", "unsuppressed",
)  # fmt: skip
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_IP = re.compile(r"[0-9A-Fa-f.:]+(/\d{1,3})?", re.ASCII)
SUPPRESSION_REASONS = ("soft bounces", "hard bounce", "complaint", "operator")


def escape_formula(cell: str) -> str:
    """Escape a cell so that no spreadsheet runs it, or a part of it, as a formula."""
    whole = re.sub(FORMULA_INSIDE, r"\1'", cell)
    return f"'{whole}" if cell[:1] in tuple(FORMULA_STARTS) else whole


def escape_json(cell: str) -> str:
    """Escape a cell of JSON so that no spreadsheet splits it; reading the JSON undoes that."""
    return cell.replace(";", r"\u003b")


def unescape_formula(cell: str) -> str:
    """Undo ``escape_formula``."""
    return _GUARDED_INSIDE.sub("", cell[1:] if cell.startswith("'") else cell)


def strip_guard(cell: str) -> str:
    """Remove the mark that other programs, too, put before what a spreadsheet would run as a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:2] in tuple(FORMULA_STARTS) else cell


def make_line_builder(header: Sequence[str]) -> Callable[[ListLine, list[str]], None]:
    """Return a function that fills lines from rows of our own export with these columns."""
    names = [normalize_name(name) for name in header]
    at = {name: names.index(normalize_name(name)) for name in OWN_COLUMNS}

    def make(line: ListLine, row: list[str]) -> None:
        cells = {name: row[index] if name in JSON_COLUMNS else unescape_formula(row[index]) for name, index in at.items()}
        _check_choice(cells["state"], STATES, "state")
        _check_choice(cells["frequency"], FREQUENCIES, "frequency")
        line.email, line.state, line.lang = cells["email"], cells["state"], cells["lang"]
        line.tags = _parse_words(cells["tags"], "tags")
        _parse_words(cells["flags"], "flags")
        cell_values.parse_metadata(cells["metadata"])
        line.metadata = cells["metadata"] or "{}"
        line.created_at, line.confirmed_at, line.unsubscribed_at = (
            cell_values.parse_moment(cells[name]) for name in ("created_at", "confirmed_at", "unsubscribed_at")
        )
        for name in ("paused_until", "active_at"):
            cell_values.parse_moment(cells[name])
        line.suppressed = _parse_suppression(cells["suppression"])
        _check_consents(cells["consents"])
        for name in PLAIN_COLUMNS:
            if len(cells[name]) > MAX_PLAIN_CHARS:
                raise BadInput(f"the {name} is longer than {MAX_PLAIN_CHARS:,} characters")
        line.whole = cells

    return make


def _check_choice(cell: str, allowed: Sequence[str], what: str) -> None:
    if cell not in allowed:
        raise BadInput(f"the {what} {cell[:30]!r} is not one of {', '.join(word for word in allowed if word)}")


def _parse_words(cell: str, what: str) -> list[str]:
    found = cell_values.parse_json(cell, what) if cell else []
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise BadInput(f"the {what} {cell[:30]!r} are not a JSON array of strings")
    return found


def _parse_suppression(cell: str) -> str:
    if not cell:
        return ""
    found = cell_values.parse_json(cell, "suppression")
    if (
        not isinstance(found, dict)
        or found.get("reason") not in SUPPRESSION_REASONS
        or not isinstance(found.get("detail"), str)
    ):
        raise BadInput("the suppression is not {reason, detail, at}")
    _check_moment(found)
    return str(found["reason"])


def _check_consents(cell: str) -> None:
    found = cell_values.parse_json(cell, "consents") if cell else []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadInput("the consents are not a JSON array of objects")
    for one in found:
        _check_choice(str(one.get("kind")), CONSENT_KINDS, "kind of a consent")
        if not isinstance(one.get("source"), str) or not isinstance(one.get("evidence"), dict):
            raise BadInput("a consent is not {kind, source, ip, evidence, at}")
        _check_moment(one)
        _check_ip(one.get("ip"))


def _check_moment(one: dict[str, Any]) -> None:
    at = one.get("at")
    if not isinstance(at, str) or not _MOMENT.fullmatch(at) or cell_values.parse_moment(at) is None:
        raise BadInput(f"{str(at)[:40]!r} is not a date: write it as 2026-11-24T09:30:00Z")


def _check_ip(ip: object) -> None:
    try:
        if ip is not None:
            ipaddress.ip_network(str(ip), strict=False)
            if not _IP.fullmatch(str(ip)):
                raise ValueError
    except ValueError:
        raise BadInput(f"{str(ip)[:40]!r} is not an IP address") from None
