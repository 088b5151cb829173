"""Read a list: a file becomes lines, each with the subscriber's data or the reason why it is invalid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mailer.core.addresses import Bulk
from mailer.core.errors import BadInput
from mailer.exchange import cell_values, csv_rows, formats, own_format
from mailer.exchange.csv_rows import CsvRows
from mailer.exchange.dates import DayOrder, decide_order

MAX_COLUMNS = 1_000
MAX_COLUMN_NAME_CHARS = 500  # each line's metadata repeats the names
_DATE_FIELDS = ("created", "confirmed", "left", "left flag", "subscribed flag", "bounced", "complained")


@dataclass(slots=True)
class ListLine:
    """One line of a list. ``wrong`` says why it is invalid; then the other fields mean nothing."""

    number: int
    email: str = ""
    email_normal: str = ""
    state: str = cell_values.UNCONFIRMED
    suppressed: str = ""
    tags: Sequence[str] = ()
    metadata: str = "{}"  # JSON
    lang: str = ""
    created_at: datetime | None = None
    confirmed_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, str] | None = None  # columns that only our own export has
    wrong: str = ""


@dataclass(frozen=True)
class OpenList:
    """An open list: its format, its columns and what each becomes, and its lines, which can be read once.

    ``order`` is the order of day and month, None if no date depends on it.
    """

    format: str
    columns: list[tuple[str, str]]
    lines: Iterator[ListLine]
    order: DayOrder | None


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with csv_rows.open_bytes(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_list(
    path: Path, name: str = "", corrections: Mapping[str, str] | None = None, order: DayOrder | None = None
) -> Iterator[OpenList]:
    """Open a list. ``name`` is its format ('' recognizes it); ``corrections`` override what columns become.

    ``order`` is the order of day and month, decided by the dates themselves without it. Raises BadInput if the file cannot be
    read, is empty, has no address column, or does not decide that order.
    """
    with csv_rows.open_text(path) as file:
        rows = CsvRows(file, path.name)
        names = _read_names(rows)
        chosen = formats.get_format(name) if name else formats.recognize_format(names)
        becomes = formats.map_columns(names, chosen, corrections or {})
        columns = list(zip(names, becomes, strict=True))
        if chosen.name == "postmerge":
            lines = _read_lines(rows, own_format.make_line_builder(names), len(names))
        else:
            order = order or _decide_order(path, becomes)
            lines = _read_lines(
                rows, _LineBuilder(names, becomes, chosen.default_state, order), len(names), becomes.index("email")
            )
        yield OpenList(chosen.name, columns, lines, order)


def read_header(path: Path) -> list[str]:
    """Return the names of a list's columns. Raises BadInput as ``open_list`` does."""
    with csv_rows.open_text(path) as file:
        return _read_names(CsvRows(file, path.name))


def _read_names(rows: CsvRows) -> list[str]:
    for row in rows:
        if row.wrong:
            raise BadInput(f"{rows.name} is not a CSV file (line {row.number}: {row.wrong}): export it as CSV.")
        if len(row.cells) > MAX_COLUMNS:
            raise BadInput(f"{rows.name} has {len(row.cells):,} columns, more than {MAX_COLUMNS:,}: export fewer fields.")
        if long := next((cell for cell in row.cells if len(cell) > MAX_COLUMN_NAME_CHARS), ""):
            raise BadInput(
                f"{rows.name} has a column name longer than {MAX_COLUMN_NAME_CHARS} characters, {long[:30]!r}…: shorten it."
            )
        if any(cell.strip() for cell in row.cells) and not csv_rows.is_separator_line(row):
            return row.cells
    raise BadInput(f"{rows.name} is empty: the first line must contain the names of the columns.")


def _decide_order(path: Path, becomes: Sequence[str]) -> DayOrder | None:
    """Return the order of day and month in all dates of a list. Raises BadInput if they do not decide it."""
    places = [index for index, name in enumerate(becomes) if name in _DATE_FIELDS]
    if not places:
        return None
    with csv_rows.open_text(path) as file:
        rows = CsvRows(file, path.name)
        _read_names(rows)
        return decide_order((row.number, row.cells[place]) for row in rows for place in places if place < len(row.cells))


def _read_lines(rows: CsvRows, make: Any, width: int, address: int | None = None) -> Iterator[ListLine]:
    """Yield the lines. ``address`` is the index of the address column in a list that may have been written by hand."""
    bulk = Bulk()
    for row in rows:
        if row.wrong:
            yield ListLine(row.number, wrong=row.wrong)
        elif any(row.cells):
            if address is not None:
                rows.check_swallowed(row, width, address)
            yield _read_line(row.number, row.cells, make, width, bulk)


def _read_line(number: int, row: list[str], make: Any, width: int, bulk: Bulk) -> ListLine:
    if len(row) != width:
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            return ListLine(number, wrong=f"it has {len(row)} cells, and there are {width} columns")
        row = (row + [""] * width)[:width]
    line = ListLine(number)
    try:
        make(line, row)
        line.email, line.email_normal = bulk.check(line.email)
    except BadInput as error:
        line.wrong = str(error).rstrip(".")
    if any("\0" in cell for cell in row):
        line.wrong = "it contains a NUL character"
    return line


class _LineBuilder:
    """Fills lines from another program's rows."""

    def __init__(self, names: Sequence[str], becomes: Sequence[str], default_state: str, order: DayOrder | None) -> None:
        self._order = order
        at: dict[str, list[int]] = {}
        for index, name in enumerate(becomes):
            at.setdefault(name, []).append(index)
        self._default = cell_values.parse_state(default_state)
        self._email = at["email"][0]
        self._one = {name: at[name][0] for name in at if name in formats.FIELDS and name not in ("proof", "ignore")}
        self._proof = [(index, names[index].strip()[:60]) for index, name in enumerate(becomes) if name == "proof"]
        self._meta = [
            (index, name[len(formats.METADATA_PREFIX) :])
            for index, name in enumerate(becomes)
            if name.startswith(formats.METADATA_PREFIX)
        ]

    def __call__(self, line: ListLine, row: list[str]) -> None:
        one = self._one
        row = [own_format.strip_guard(cell) if cell.startswith("'") else cell for cell in row]
        line.email = row[self._email]
        line.state, line.suppressed = cell_values.parse_state(row[one["state"]]) if "state" in one else self._default
        for name, index in one.items():
            if cell := row[index]:
                _SETTERS.get(name, _ignore)(line, cell, self._order)
            elif name == "subscribed flag" and line.state == cell_values.ACTIVE:
                line.state = cell_values.UNCONFIRMED  # an empty cell must not activate anybody
        meta = {name: row[index] for index, name in self._meta if row[index].strip()}
        if "metadata" in one:
            meta = {**meta, **cell_values.parse_metadata(row[one["metadata"]])}
        if meta:
            line.metadata = json.dumps(meta, ensure_ascii=False)
        if self._proof:
            line.proof = {f"file: {name}": row[index] for index, name in self._proof if row[index].strip()}


def _ignore(line: ListLine, cell: str, order: DayOrder | None) -> None:
    """Skip a field that is handled elsewhere."""


def _set_tags(line: ListLine, cell: str, order: DayOrder | None) -> None:
    line.tags = cell_values.parse_tags(cell)


def _set_created(line: ListLine, cell: str, order: DayOrder | None) -> None:
    line.created_at = cell_values.parse_moment(cell, order)


def _set_confirmed(line: ListLine, cell: str, order: DayOrder | None) -> None:
    line.confirmed_at = cell_values.parse_moment(cell, order)


def _set_unsubscribed(line: ListLine, cell: str, order: DayOrder | None) -> None:
    line.unsubscribed_at = cell_values.parse_moment(cell, order)
    if line.unsubscribed_at:
        line.state = cell_values.UNSUBSCRIBED


def _apply_unsubscribed_flag(line: ListLine, cell: str, order: DayOrder | None) -> None:
    if said := cell_values.parse_flag(cell, order):
        line.state = cell_values.UNSUBSCRIBED
        line.unsubscribed_at = line.unsubscribed_at if said is True else said


def _apply_subscribed_flag(line: ListLine, cell: str, order: DayOrder | None) -> None:
    if not cell_values.parse_flag(cell, order):
        line.state = cell_values.UNSUBSCRIBED


def _set_bounced(line: ListLine, cell: str, order: DayOrder | None) -> None:
    if cell_values.parse_moment(cell, order):
        line.suppressed = cell_values.BOUNCED


def _set_complained(line: ListLine, cell: str, order: DayOrder | None) -> None:
    if cell_values.parse_moment(cell, order):
        line.suppressed = cell_values.COMPLAINED


def _set_language(line: ListLine, cell: str, order: DayOrder | None) -> None:
    line.lang = cell.strip().lower()[:20]


_SETTERS = {
    "tags": _set_tags,
    "created": _set_created,
    "confirmed": _set_confirmed,
    "left": _set_unsubscribed,
    "left flag": _apply_unsubscribed_flag,
    "subscribed flag": _apply_subscribed_flag,
    "bounced": _set_bounced,
    "complained": _set_complained,
    "lang": _set_language,
}
