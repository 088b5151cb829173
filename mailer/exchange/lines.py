"""Reading a list: a file becomes lines, each a reader as the file says, or a sentence about what is wrong with it."""

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
from mailer.exchange import formats, own, values

csv.field_size_limit(1_000_000)
MAX_COLUMNS = 1_000
_ENCODINGS = ("utf-8-sig", "cp1252")


@dataclass(slots=True)
class Line:
    """One line of a list. ``wrong`` says why it cannot be taken; then nothing else holds."""

    number: int
    email: str = ""
    email_normal: str = ""
    state: str = values.UNCONFIRMED
    suppressed: str = ""
    tags: Sequence[str] = ()
    metadata: str = "{}"  # JSON
    lang: str = ""
    created_at: datetime | None = None
    confirmed_at: datetime | None = None
    left_at: datetime | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, str] | None = None  # what only our own export holds
    wrong: str = ""


@dataclass(frozen=True)
class Sheet:
    """A list that is open: its format, its columns with what each becomes, and its lines, read once."""

    format: str
    columns: list[tuple[str, str]]
    lines: Iterator[Line]


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with _open_bytes(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def sheet(path: Path, name: str = "", corrections: Mapping[str, str] | None = None) -> Iterator[Sheet]:
    """Open a list. ``name`` is its format ('' recognises it); ``corrections`` say what single columns become.

    Raises BadInput when the file cannot be read, is empty, or no column holds addresses.
    """
    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=_delimiter(file))
        names = _names(reader, path)
        chosen = formats.by_name(name) if name else formats.recognise(names)
        becomes = formats.mapping(names, chosen, corrections or {})
        make = own.maker(names) if chosen.name == "postmerge" else _Maker(names, becomes, chosen.default_state)
        yield Sheet(chosen.name, list(zip(names, becomes, strict=True)), _lines(reader, make, len(names)))


def header(path: Path) -> list[str]:
    """The names of a list's columns. Raises BadInput as ``sheet`` does."""
    with _open_text(path) as file:
        return _names(csv.reader(file, delimiter=_delimiter(file)), path)


def _names(reader: Any, path: Path) -> list[str]:
    try:
        for row in reader:
            if len(row) > MAX_COLUMNS:
                raise BadInput(f"{path.name} has {len(row):,} columns, and {MAX_COLUMNS:,} are read: export fewer fields.")
            if any(cell.strip() for cell in row):
                return list(row)
    except csv.Error as error:
        raise BadInput(f"{path.name} is not a CSV file ({error}): export it as CSV.") from error
    raise BadInput(f"{path.name} is empty: the first line must name the columns.")


def _lines(reader: Any, make: Any, width: int) -> Iterator[Line]:
    """Lines, numbered as an editor does (a quoted cell may go over several)."""
    bulk = Bulk()
    for _ in itertools.count():
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, wrong=f"the line cannot be read ({error})")
            continue
        if not any(row):
            continue
        yield _line(number, row, make, width, bulk)


def _line(number: int, row: list[str], make: Any, width: int, bulk: Bulk) -> Line:
    if len(row) != width:
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            return Line(number, wrong=f"it has {len(row)} cells, and there are {width} columns")
        row = (row + [""] * width)[:width]
    line = Line(number)
    try:
        make(line, row)
        line.email, line.email_normal = bulk.check(line.email)
    except BadInput as error:
        line.wrong = str(error).rstrip(".")
    if any("\0" in cell for cell in row):
        line.wrong = "it holds a NUL sign"
    return line


class _Maker:
    """Fills lines from rows of another program."""

    def __init__(self, names: Sequence[str], becomes: Sequence[str], default_state: str) -> None:
        at: dict[str, list[int]] = {}
        for index, name in enumerate(becomes):
            at.setdefault(name, []).append(index)
        self._default = values.state(default_state)
        self._email = at["email"][0]
        self._one = {name: at[name][0] for name in at if name in formats.FIELDS and name not in ("proof", "ignore")}
        self._proof = [(index, names[index].strip()[:60]) for index, name in enumerate(becomes) if name == "proof"]
        self._meta = [(index, name[len(formats.META) :]) for index, name in enumerate(becomes) if name.startswith(formats.META)]

    def __call__(self, line: Line, row: list[str]) -> None:
        one = self._one
        line.email = row[self._email]
        line.state, line.suppressed = values.state(row[one["state"]]) if "state" in one else self._default
        for name, index in one.items():
            if cell := row[index]:
                _SET.get(name, _nothing)(line, cell)
            elif name == "subscribed flag" and line.state == values.ACTIVE:
                line.state = values.UNCONFIRMED  # nobody is mailed because a cell is empty
        meta = {name: row[index] for index, name in self._meta if row[index].strip()}
        if "metadata" in one:
            meta = {**meta, **values.metadata(row[one["metadata"]])}
        if meta:
            line.metadata = json.dumps(meta, ensure_ascii=False)
        if self._proof:
            line.proof = {f"file: {name}": row[index] for index, name in self._proof if row[index].strip()}


def _nothing(line: Line, cell: str) -> None:
    """A field that was looked at already."""


def _tags(line: Line, cell: str) -> None:
    line.tags = values.tags(cell)


def _created(line: Line, cell: str) -> None:
    line.created_at = values.moment(cell)


def _confirmed(line: Line, cell: str) -> None:
    line.confirmed_at = values.moment(cell)


def _left(line: Line, cell: str) -> None:
    line.left_at = values.moment(cell)
    if line.left_at:
        line.state = values.LEFT


def _left_flag(line: Line, cell: str) -> None:
    if said := values.flag(cell):
        line.state = values.LEFT
        line.left_at = line.left_at if said is True else said


def _subscribed_flag(line: Line, cell: str) -> None:
    if not values.flag(cell):
        line.state = values.LEFT


def _bounced(line: Line, cell: str) -> None:
    if values.moment(cell):
        line.suppressed = values.BOUNCED


def _lang(line: Line, cell: str) -> None:
    line.lang = cell.strip().lower()[:20]


_SET = {
    "tags": _tags,
    "created": _created,
    "confirmed": _confirmed,
    "left": _left,
    "left flag": _left_flag,
    "subscribed flag": _subscribed_flag,
    "bounced": _bounced,
    "lang": _lang,
}


def _delimiter(file: TextIO) -> str:
    """The mark between cells, by the first line with anything in it; the file is at its beginning afterwards."""
    first = next((line for line in file if line.strip()), "")
    file.seek(0)
    return max(",;\t", key=first.count)


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """A byte that the encoding lacks becomes U+FFFD: it spoils its own cell and not the file."""
    with path.open(encoding=_encoding(path), errors="replace", newline="") as file:
        yield file


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 with its mark, or else what Windows programs write."""
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
        raise BadInput(f"{path} cannot be read ({error.strerror or error}): give the path of a CSV file.") from error
