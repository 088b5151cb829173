"""Importing a list of readers, in two steps that compute the same: a plan, and the plan applied in one transaction."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.exchange import lines, own, values
from mailer.exchange.formats import NAMES as NAMES
from mailer.exchange.lines import Line, Sheet
from mailer.store.subscribers import consent_log, imports
from mailer.store.subscribers.imports import Judged

events = log.get("import")

VERDICTS = ("new", "changed", "same", "refused")
SHOWN = 20  # refused lines in a plan
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Request:
    """An import as it was asked for. ``columns`` corrects what a column becomes; ``tags`` are given to every line."""

    path: Path
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    evidence: str = ""
    report: Path | None = None
    shown: int = SHOWN


@dataclass(frozen=True)
class Plan:
    """What an import does, or did when ``applied`` holds its number.

    ``refused`` are the first refused lines, ``changes`` the first changed ones; ``waiting`` counts new readers who stay
    unconfirmed because no evidence was given.
    """

    format: str
    columns: list[tuple[str, str]]
    counts: dict[str, int]
    reasons: dict[str, int]
    refused: list[Judged]
    changes: list[Judged]
    waiting: int
    applied: int | None = None


def plan(database: Database, settings: Settings, request: Request) -> Plan:
    """What importing would do now; nothing is written. Raises BadInput for a file that cannot be read."""
    return _run(database, settings, request, apply=False)


def apply(database: Database, settings: Settings, request: Request) -> Plan:
    """Import, in one transaction: all of the plan, or nothing."""
    done = _run(database, settings, request, apply=True)
    events.info("import.applied", run=done.applied, **done.counts)
    return done


def _run(database: Database, settings: Settings, request: Request, apply: bool) -> Plan:
    more = values.tags(",".join(f'"{tag}"' for tag in request.tags)) if request.tags else ()
    with lines.sheet(request.path, request.format, request.columns) as sheet, database.transaction() as tx:
        imports.stage(tx, _Rows(sheet, more, _hasher(tx, settings)))
        moved = {addresses.normal(before) for before in consent_log.former_addresses(tx)}
        imports.judge(tx, bool(request.evidence.strip()), sorted(moved))
        found = _plan(tx, sheet, request)
        if request.report:
            _report(tx, request.report)
        if not apply:
            return found
        run_id = imports.run(
            tx, request.path.name, lines.digest(request.path), sheet.format, request.evidence.strip(), found.counts
        )
        imports.apply(tx, run_id, request.evidence.strip())
    return Plan(**{**vars(found), "applied": run_id})


def _plan(tx: Tx, sheet: Sheet, request: Request) -> Plan:
    counted = imports.counts(tx)
    return Plan(
        format=sheet.format,
        columns=sheet.columns,
        counts={verdict: counted.get(verdict, 0) for verdict in VERDICTS},
        reasons=imports.refusals(tx),
        refused=imports.lines(tx, request.shown, ("refused",)),
        changes=imports.lines(tx, request.shown, ("changed",)),
        waiting=imports.unconfirmed(tx),
    )


def _report(tx: Tx, path: Path) -> None:
    try:
        with path.open("wb") as file:
            imports.report(tx, file)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror or error}): give another path with --report.") from error


def _hasher(tx: Tx, settings: Settings) -> Callable[[str], str]:
    """The keyed hash of an address as COPY takes it; nothing while nobody was ever erased."""
    if not imports.any_erased(tx):
        return lambda _: "\\N"
    key = settings.need_secret().encode()
    return lambda normal: "\\\\x" + hmac.digest(key, normal.encode(), "sha256").hex()


class _Rows:
    """Lines as a file of COPY's text format; Postgres reads it piece by piece."""

    def __init__(self, sheet: Sheet, more: Sequence[str], hashed: Callable[[str], str]) -> None:
        self._rows = (_row(line, more, hashed) for line in sheet.lines)
        self._left = b""

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end."""
        parts, got = [self._left], len(self._left)
        for row in self._rows:
            parts.append(encoded := row.encode("utf-8", "replace"))
            got += len(encoded)
            if got >= size:
                break
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]


def _row(line: Line, more: Sequence[str], hashed: Callable[[str], str]) -> str:
    if line.wrong:
        empty = {"number": str(line.number), "email": _text(line.email[:254]), "email_normal": "", "wrong": _text(line.wrong)}
        return "\t".join(empty.get(name, "\\N") for name in imports.COLUMNS) + "\n"
    tags = _array([*line.tags, *(tag for tag in more if tag not in line.tags)] if more else line.tags)
    proof = _text(json.dumps(dict(line.proof), ensure_ascii=False)) if line.proof else "{}"
    fields = (
        str(line.number), line.email, line.email_normal, line.state, line.suppressed, tags, _text(line.metadata),
        _text(line.lang), _moment(line.created_at), _moment(line.confirmed_at), _moment(line.left_at), proof,
        hashed(line.email_normal), *_own(line.whole), "",
    )  # fmt: skip
    return "\t".join(fields) + "\n"


def _own(whole: Mapping[str, str] | None) -> Iterator[str]:
    """frequency, flags, paused_until, active_at, suppression, consents, and the plain ones."""
    if whole is None:
        yield from ("\\N",) * (6 + len(own.PLAIN))
        return
    yield whole["frequency"]
    yield _array(json.loads(whole["flags"] or "[]"))
    yield _moment(values.moment(whole["paused_until"]))
    yield _moment(values.moment(whole["active_at"]))
    yield _text(whole["suppression"]) or "\\N"
    yield _text(whole["consents"] or "[]")
    yield from (_text(whole[name]) for name in own.PLAIN)


def _text(value: str) -> str:
    return value.translate(_ESCAPES).replace("\0", "")


def _moment(when: datetime | None) -> str:
    return when.isoformat() if when else "\\N"


def _array(words: Sequence[Any]) -> str:
    """A Postgres array's text, escaped once more for COPY."""
    if not words:
        return "{}"
    quoted = ('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    return _text("{" + ",".join(quoted) + "}")


def columns(given: Sequence[str]) -> dict[str, str]:
    """``NAME=field`` as written on the command line. Raises BadInput."""
    found = {}
    for one in given:
        name, mark, becomes = one.rpartition("=")
        if not mark or not name.strip():
            raise BadInput(f"--column {one!r} is not NAME=FIELD: write it as --column 'E-Mail=email'.")
        found[name] = becomes
    return found
