"""Import a list of subscribers in two steps that compute the same: a plan, then the plan applied in one transaction."""

from __future__ import annotations

import json
import math
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, TimedOut
from mailer.core.files import open_private
from mailer.core.settings import Settings
from mailer.exchange import cell_values, list_files, own_format
from mailer.exchange.dates import DayOrder
from mailer.exchange.list_files import ListLine, OpenList
from mailer.flows.subscribers import erasure, inbox_limit
from mailer.store.subscribers import consent_log, imports
from mailer.store.subscribers.imports import JudgedLine

logger = log.get("import")

VERDICTS = ("new", "changed", "same", "refused")
MAX_SHOWN_LINES = 20  # in a plan, per verdict
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class ImportRequest:
    """A requested import. ``columns`` overrides the mapping of columns; ``tags`` are added to every line.

    ``dates`` is the order of day and month, where the file does not decide it. A file that needs more than ``max_seconds``
    is refused.
    """

    path: Path
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    evidence: str = ""
    report: Path | None = None
    shown: int = MAX_SHOWN_LINES
    max_seconds: float | None = None
    dates: DayOrder | None = None


@dataclass(frozen=True)
class ImportPlan:
    """What an import would do, or did if ``applied`` contains its number.

    ``read`` is the number of lines with content below the header: the sum of ``counts``. ``dates`` is the order of day and
    month, '' if no date depends on it. ``refused`` are the first refused lines, ``changes`` the first changed ones; ``waiting``
    counts new subscribers who stay unconfirmed because no evidence was given.
    """

    format: str
    columns: list[tuple[str, str]]
    dates: str
    read: int
    counts: dict[str, int]
    reasons: dict[str, int]
    refused: list[JudgedLine]
    changes: list[JudgedLine]
    waiting: int
    applied: int | None = None


def plan_import(database: Database, settings: Settings, request: ImportRequest) -> ImportPlan:
    """Return what an import would do now, without writing anything. Raises BadInput for an unreadable file."""
    return _run_import(database, settings, request, apply=False)


def apply_import(database: Database, settings: Settings, request: ImportRequest) -> ImportPlan:
    """Import in one transaction: the whole plan or nothing."""
    done = _run_import(database, settings, request, apply=True)
    logger.info("import.applied", run=done.applied, **done.counts)
    return done


def _run_import(database: Database, settings: Settings, request: ImportRequest, apply: bool) -> ImportPlan:
    more = cell_values.parse_tags(",".join(f'"{tag}"' for tag in request.tags)) if request.tags else ()
    limit = _TimeLimit(request.max_seconds)
    with (
        limit,
        list_files.open_list(request.path, request.format, request.columns, request.dates) as sheet,
        database.transaction() as tx,
    ):
        rows = _CopyRows(sheet, more, _make_hasher(tx, settings), limit, inbox_limit.list_complaining(tx))
        imports.stage_lines(tx, rows)
        limit.apply(tx)
        moved = {addresses.normal(before) for before in consent_log.list_former_addresses(tx)}
        imports.judge_lines(tx, bool(request.evidence.strip()), sorted(moved), sorted(rows.complaining))
        found = _summarize(tx, sheet, request, rows.number)
        if apply:
            limit.apply(tx)
            digest, evidence = list_files.hash_file(request.path), request.evidence.strip()
            run_id = imports.add_run(tx, request.path.name, digest, sheet.format, evidence, found.counts)
            imports.apply_lines(tx, run_id, evidence)
            inbox_limit.suppress_spellings(tx, imports.list_new_complaints(tx))
            found = replace(_summarize(tx, sheet, request, rows.number), applied=run_id)
            imports.set_counts(tx, run_id, found.counts)
        if request.report:
            _write_report(tx, request.report)
    return found


class _TimeLimit:
    """The time that an import may take, so that no crafted file holds a worker and a transaction for minutes."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimedOut) and self._seconds is not None:
            raise self._refusal() from error

    @property
    def is_over(self) -> bool:
        """Return whether the time is used up."""
        return time.monotonic() > self._end

    def apply(self, tx: Tx) -> None:
        """Limit later statements to the rest of the time. Raises BadInput when there is none."""
        if self.is_over:
            raise self._refusal()
        if self._seconds is not None:
            tx.limit_time(self._end - time.monotonic())

    def _refusal(self) -> BadInput:
        return BadInput(f"The import takes longer than {self._seconds:g} seconds: split the file into smaller ones.")


def _summarize(tx: Tx, sheet: OpenList, request: ImportRequest, read: int) -> ImportPlan:
    """Return the plan. Raises RuntimeError if a line was lost between the file and its verdict."""
    counted = imports.count_verdicts(tx)
    if sum(counted.values()) != read:
        raise RuntimeError(f"{read} lines were read, and {sum(counted.values())} have a verdict")
    return ImportPlan(
        format=sheet.format,
        columns=sheet.columns,
        dates=sheet.order or "",
        read=read,
        counts={verdict: counted.get(verdict, 0) for verdict in VERDICTS},
        reasons=imports.count_refusals(tx),
        refused=imports.list_lines(tx, request.shown, ("refused",)),
        changes=imports.list_lines(tx, request.shown, ("changed",)),
        waiting=imports.count_unconfirmed(tx),
    )


def _write_report(tx: Tx, path: Path) -> None:
    try:
        with open(path, "wb", opener=open_private) as file:
            file.write(BOM_UTF8)  # for Excel
            imports.write_report(tx, file)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror or error}): choose another path with --report.") from error


def _make_hasher(tx: Tx, settings: Settings) -> Callable[[str], str]:
    """Return a function that hashes an address in COPY's format; it returns NULL if nobody was ever erased."""
    if not imports.has_erased(tx):
        return lambda _: "\\N"
    return lambda normal: _format_array([f"\\x{one.hex()}" for one in erasure.list_hashes(settings, normal)])


class _CopyRows:
    """Lines as a file in COPY's text format, which Postgres reads in chunks.

    ``complaining`` collects the addresses that lead to one of the ``inboxes`` that complained; ``number`` counts the lines.
    """

    def __init__(
        self,
        sheet: OpenList,
        more: Sequence[str],
        hashed: Callable[[str], str],
        limit: _TimeLimit,
        inboxes: Set[str] = frozenset(),
    ) -> None:
        self.complaining: set[str] = set()
        self.number = 0
        self._inboxes = inboxes
        self._rows = (_format_row(line, more, hashed) for line in map(self._look_at, sheet.lines))
        self._left = b""
        self._limit = limit

    def _look_at(self, line: ListLine) -> ListLine:
        self.number += 1
        if self._inboxes and addresses.inbox(line.email_normal) in self._inboxes:
            self.complaining.add(line.email_normal)
        return line

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer at the end."""
        if self._limit.is_over:
            return b""
        parts, got = [self._left], len(self._left)
        for row in self._rows:
            parts.append(encoded := row.encode("utf-8", "replace"))
            got += len(encoded)
            if got >= size or self._limit.is_over:
                break
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]


def _format_row(line: ListLine, more: Sequence[str], hashed: Callable[[str], str]) -> str:
    if line.wrong:
        empty = {
            "number": str(line.number),
            "email": _escape_text(line.email[:254]),
            "email_normal": "",
            "wrong": _escape_text(line.wrong),
        }
        return "\t".join(empty.get(name, "\\N") for name in imports.COLUMNS) + "\n"
    tags = _format_array([*line.tags, *(tag for tag in more if tag not in line.tags)] if more else line.tags)
    proof = _escape_text(json.dumps(dict(line.proof), ensure_ascii=False)) if line.proof else "{}"
    fields = (
        str(line.number), line.email, line.email_normal, line.state, line.suppressed, tags, _escape_text(line.metadata),
        _escape_text(line.lang), _format_moment(line.created_at), _format_moment(line.confirmed_at),
        _format_moment(line.unsubscribed_at), proof, hashed(line.email_normal), *_format_own_columns(line.whole), "",
    )  # fmt: skip
    return "\t".join(fields) + "\n"


def _format_own_columns(whole: Mapping[str, str] | None) -> Iterator[str]:
    """Yield frequency, flags, paused_until, active_at, suppression, consents, and the plain columns."""
    if whole is None:
        yield from ("\\N",) * (6 + len(own_format.PLAIN_COLUMNS))
        return
    yield whole["frequency"]
    yield _format_array(json.loads(whole["flags"] or "[]"))
    yield _format_moment(cell_values.parse_moment(whole["paused_until"]))
    yield _format_moment(cell_values.parse_moment(whole["active_at"]))
    yield _escape_text(whole["suppression"]) or "\\N"
    yield _escape_text(whole["consents"] or "[]")
    yield from (_escape_text(whole[name]) for name in own_format.PLAIN_COLUMNS)


def _escape_text(value: str) -> str:
    return value.translate(_ESCAPES).replace("\0", "")


def _format_moment(when: datetime | None) -> str:
    return when.isoformat() if when else "\\N"


def _format_array(words: Sequence[Any]) -> str:
    """Return a Postgres array literal, escaped again for COPY."""
    if not words:
        return "{}"
    quoted = ('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    return _escape_text("{" + ",".join(quoted) + "}")


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """Parse ``NAME=field`` pairs from the command line. Raises BadInput."""
    found = {}
    for one in given:
        name, mark, becomes = one.rpartition("=")
        if not mark or not name.strip():
            raise BadInput(f"--column {one!r} is not NAME=FIELD: write it as --column 'E-Mail=email'.")
        found[name] = becomes
    return found
