"""Our own export: everything about a reader on one line, read back exactly as it was written.

A cell that a spreadsheet would take for a formula has a ``'`` in front; reading takes exactly one away again.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mailer.core.errors import BadInput
from mailer.exchange import values
from mailer.exchange.formats import OWN

if TYPE_CHECKING:
    from mailer.exchange.lines import Line

GUARDED = "=+-@\t\r'"  # signs at a cell's beginning that need the guard
PLAIN = ("notes", "referrer_url", "utm_campaign", "utm_medium", "utm_source", "leaving_reason")
MOST_PLAIN = 100_000  # characters
STATES = ("unconfirmed", "active", "left", "")
FREQUENCIES = ("every", "monthly")
KINDS = ("requested", "confirmed", "left", "added", "imported", "address", "chosen", "paused", "resumed")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_IP = re.compile(r"[0-9A-Fa-f.:]+(/\d{1,3})?", re.ASCII)
REASONS = ("soft bounces", "hard bounce", "complaint", "operator")


def guard(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell[:1] in tuple(GUARDED) else cell


def unguard(cell: str) -> str:
    """What ``guard`` was given."""
    return cell[1:] if cell.startswith("'") else cell


def maker(header: Sequence[str]) -> Callable[[Line, list[str]], None]:
    """Fills lines from rows of our own export with these columns."""
    names = [name.strip().lower() for name in header]
    at = {name: names.index(name) for name in OWN}

    def make(line: Line, row: list[str]) -> None:
        cells = {name: unguard(row[index]) for name, index in at.items()}
        _choice(cells["state"], STATES, "state")
        _choice(cells["frequency"], FREQUENCIES, "frequency")
        line.email, line.state, line.lang = cells["email"], cells["state"], cells["lang"]
        line.tags = _words(cells["tags"], "tags")
        _words(cells["flags"], "flags")
        values.metadata(cells["metadata"])
        line.metadata = cells["metadata"] or "{}"
        line.created_at, line.confirmed_at, line.left_at = (
            values.moment(cells[name]) for name in ("created_at", "confirmed_at", "left_at")
        )
        for name in ("paused_until", "active_at"):
            values.moment(cells[name])
        line.suppressed = _suppression(cells["suppression"])
        _consents(cells["consents"])
        for name in PLAIN:
            if len(cells[name]) > MOST_PLAIN:
                raise BadInput(f"the {name} is longer than {MOST_PLAIN:,} characters")
        line.whole = cells

    return make


def _choice(cell: str, allowed: Sequence[str], what: str) -> None:
    if cell not in allowed:
        raise BadInput(f"the {what} {cell[:30]!r} is not one of {', '.join(word for word in allowed if word)}")


def _words(cell: str, what: str) -> list[str]:
    found = values.as_json(cell, what) if cell else []
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise BadInput(f"the {what} {cell[:30]!r} are not a JSON array of words")
    return found


def _suppression(cell: str) -> str:
    if not cell:
        return ""
    found = values.as_json(cell, "suppression")
    if not isinstance(found, dict) or found.get("reason") not in REASONS or not isinstance(found.get("detail"), str):
        raise BadInput("the suppression is not {reason, detail, at}")
    _at(found)
    return str(found["reason"])


def _consents(cell: str) -> None:
    found = values.as_json(cell, "consents") if cell else []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadInput("the consents are not a JSON array of objects")
    for one in found:
        _choice(str(one.get("kind")), KINDS, "kind of a consent")
        if not isinstance(one.get("source"), str) or not isinstance(one.get("evidence"), dict):
            raise BadInput("a consent is not {kind, source, ip, evidence, at}")
        _at(one)
        _ip(one.get("ip"))


def _at(one: dict[str, Any]) -> None:
    at = one.get("at")
    if not isinstance(at, str) or not _MOMENT.fullmatch(at) or values.moment(at) is None:
        raise BadInput(f"{str(at)[:40]!r} is not a date: write it as 2026-11-24T09:30:00Z")


def _ip(ip: object) -> None:
    try:
        if ip is not None:
            ipaddress.ip_network(str(ip), strict=False)
            if not _IP.fullmatch(str(ip)):
                raise ValueError
    except ValueError:
        raise BadInput(f"{str(ip)[:40]!r} is not an IP address") from None
