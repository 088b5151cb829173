"""Read a list: a file becomes lines, each with the subscriber's data or the reason why it is invalid."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from mailer.core.addresses import Bulk
from mailer.core.errors import BadInput
from mailer.exchange import cell_values, formats, own_format

csv.field_size_limit(1_000_000)
MAX_COLUMNS = 1_000
MAX_COLUMN_NAME_CHARS = 500  # each line's metadata repeats the names
_ENCODINGS = ("utf-8-sig", "cp1252")


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
    left_at: datetime | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, str] | None = None  # columns that only our own export has
    wrong: str = ""


@dataclass(frozen=True)
class OpenList:
    """An open list: its format, its columns and what each becomes, and its lines, which can be read once."""

    format: str
    columns: list[tuple[str, str]]
    lines: Iterator[ListLine]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with _open_bytes(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_list(path: Path, name: str = "", corrections: Mapping[str, str] | None = None) -> Iterator[OpenList]:
    """Open a list. ``name`` is its format ('' recognizes it); ``corrections`` override what columns become.

    Raises BadInput if the file cannot be read, is empty, or has no address column.
    """
    with _open_text(path) as file:
        rows = csv.reader(file, delimiter=_detect_delimiter(file))
        names = _read_names(rows, path)
        chosen = formats.get_format(name) if name else formats.recognize_format(names)
        becomes = formats.map_columns(names, chosen, corrections or {})
        make = (
            own_format.make_line_builder(names)
            if chosen.name == "postmerge"
            else _LineBuilder(names, becomes, chosen.default_state)
        )
        yield OpenList(chosen.name, list(zip(names, becomes, strict=True)), _read_lines(rows, make, len(names)))


def read_header(path: Path) -> list[str]:
    """Return the names of a list's columns. Raises BadInput as ``open_list`` does."""
    with _open_text(path) as file:
        return _read_names(csv.reader(file, delimiter=_detect_delimiter(file)), path)


def _read_names(rows: Any, path: Path) -> list[str]:
    try:
        for row in rows:
            if len(row) > MAX_COLUMNS:
                raise BadInput(f"{path.name} has {len(row):,} columns, more than {MAX_COLUMNS:,}: export fewer fields.")
            if long := next((cell for cell in row if len(cell) > MAX_COLUMN_NAME_CHARS), ""):
                raise BadInput(
                    f"{path.name} has a column name longer than {MAX_COLUMN_NAME_CHARS} characters, {long[:30]!r}…: shorten it."
                )
            if any(cell.strip() for cell in row):
                return list(row)
    except csv.Error as error:
        raise BadInput(f"{path.name} is not a CSV file ({error}): export it as CSV.") from error
    raise BadInput(f"{path.name} is empty: the first line must contain the names of the columns.")


def _read_lines(rows: Any, make: Any, width: int) -> Iterator[ListLine]:
    """Yield the lines, numbered as in an editor (a quoted cell may span several)."""
    bulk = Bulk()
    for _ in itertools.count():
        number = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield ListLine(number, wrong=f"the line cannot be read ({error})")
            continue
        if not any(row):
            continue
        yield _read_line(number, row, make, width, bulk)


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

    def __init__(self, names: Sequence[str], becomes: Sequence[str], default_state: str) -> None:
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
        line.email = row[self._email]
        line.state, line.suppressed = cell_values.parse_state(row[one["state"]]) if "state" in one else self._default
        for name, index in one.items():
            if cell := row[index]:
                _SETTERS.get(name, _ignore)(line, cell)
            elif name == "subscribed flag" and line.state == cell_values.ACTIVE:
                line.state = cell_values.UNCONFIRMED  # an empty cell must not activate anybody
        meta = {name: row[index] for index, name in self._meta if row[index].strip()}
        if "metadata" in one:
            meta = {**meta, **cell_values.parse_metadata(row[one["metadata"]])}
        if meta:
            line.metadata = json.dumps(meta, ensure_ascii=False)
        if self._proof:
            line.proof = {f"file: {name}": row[index] for index, name in self._proof if row[index].strip()}


def _ignore(line: ListLine, cell: str) -> None:
    """Skip a field that is handled elsewhere."""


def _set_tags(line: ListLine, cell: str) -> None:
    line.tags = cell_values.parse_tags(cell)


def _set_created(line: ListLine, cell: str) -> None:
    line.created_at = cell_values.parse_moment(cell)


def _set_confirmed(line: ListLine, cell: str) -> None:
    line.confirmed_at = cell_values.parse_moment(cell)


def _set_unsubscribed(line: ListLine, cell: str) -> None:
    line.left_at = cell_values.parse_moment(cell)
    if line.left_at:
        line.state = cell_values.UNSUBSCRIBED


def _apply_unsubscribed_flag(line: ListLine, cell: str) -> None:
    if said := cell_values.parse_flag(cell):
        line.state = cell_values.UNSUBSCRIBED
        line.left_at = line.left_at if said is True else said


def _apply_subscribed_flag(line: ListLine, cell: str) -> None:
    if not cell_values.parse_flag(cell):
        line.state = cell_values.UNSUBSCRIBED


def _set_bounced(line: ListLine, cell: str) -> None:
    if cell_values.parse_moment(cell):
        line.suppressed = cell_values.BOUNCED


def _set_language(line: ListLine, cell: str) -> None:
    line.lang = cell.strip().lower()[:20]


_SETTERS = {
    "tags": _set_tags,
    "created": _set_created,
    "confirmed": _set_confirmed,
    "left": _set_unsubscribed,
    "left flag": _apply_unsubscribed_flag,
    "subscribed flag": _apply_subscribed_flag,
    "bounced": _set_bounced,
    "lang": _set_language,
}


def _detect_delimiter(file: TextIO) -> str:
    """Return the delimiter, judging by the first line that is not empty; rewind the file."""
    first = next((line for line in file if line.strip()), "")
    file.seek(0)
    return max(",;\t", key=first.count)


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """Open as text. An undecodable byte becomes U+FFFD: it spoils its own cell, not the file."""
    with path.open(encoding=_detect_encoding(path), errors="replace", newline="") as file:
        yield file


def _detect_encoding(path: Path) -> str:
    """Return UTF-8, UTF-16 if there is a byte order mark, or else the usual encoding on Windows."""
    with _open_bytes(path) as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
    for encoding in _ENCODINGS[:-1]:
        try:
            with path.open(encoding=encoding) as text:
                while text.read(1 << 20):
                    pass
        except UnicodeDecodeError:
            continue
        return encoding
    return _ENCODINGS[-1]


@contextmanager
def _open_bytes(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}): enter the path of a CSV file.") from error
