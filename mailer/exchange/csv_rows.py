"""The rows of a CSV file, as spreadsheets and other programs write it. No row is ever swallowed by another one's quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from mailer.core.errors import BadInput

MAX_CELL_CHARS = 1_000_000
csv.field_size_limit(MAX_CELL_CHARS)
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_WINDOWS = "cp1252"  # of files that are not UTF-8
_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line of a file for Excel
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_QUOTE_ERRORS = {
    "unexpected end of data": "the quote in it is never closed",
    "expected after": "more text follows a closing quote: write a quote inside a cell twice",
    "field larger": f"a cell has more than {MAX_CELL_CHARS:,} characters",
}


class Row(NamedTuple):
    """A row with the number of the line where it begins; ``wrong`` says why it cannot be read."""

    number: int
    cells: list[str]
    wrong: str = ""


class CsvRows:
    """Iterates over the rows of an open file, numbered as in an editor: a quoted cell may span several lines."""

    def __init__(self, file: TextIO, name: str) -> None:
        self.name = name
        self._delimiter = _detect_delimiter(file)
        self._lines = _Recorder(file)
        self._parsed = csv.reader(self._lines, delimiter=self._delimiter, strict=True)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        """Return the next row. Raises BadInput when a quote runs on over the lines that follow."""
        self._lines.seen.clear()
        number = self._parsed.line_num + 1
        try:
            return Row(number, next(self._parsed))
        except csv.Error as error:
            if len(self._lines.seen) > 1:
                raise self._refuse_quote(number) from error
            why = next((text for part, text in _QUOTE_ERRORS.items() if part in str(error)), str(error))
            return Row(number, [], why)

    def check_swallowed(self, row: Row, width: int, address: int) -> None:
        """Refuse a row with a cell of several lines of which one is a row itself. Raises BadInput.

        ``width`` is the number of columns, ``address`` the index of the addresses.
        """
        for line in self._lines.seen[1:]:
            cells = next(csv.reader([line], delimiter=self._delimiter), [])
            if len(cells) == width and _ADDRESS.fullmatch(cells[address].strip()):
                raise self._refuse_quote(row.number)

    def _refuse_quote(self, number: int) -> BadInput:
        line = number + _find_open_quote(self._lines.seen)
        return BadInput(
            f"The quote that opens in line {line} of {self.name} is not closed on that line and takes in the lines that follow:"
            " close it, or write a quote inside a cell twice, and import the file again. Nothing was imported."
        )


def _find_open_quote(lines: list[str]) -> int:
    """Return the index of the line with the quote that is open where the last line begins; the last line if none is."""
    opened: int | None = None
    for index, line in enumerate(lines[:-1]):
        for _ in range(line.count('"')):
            opened = index if opened is None else None
    return len(lines) - 1 if opened is None else opened


class _Recorder:
    """Passes on the lines of a file and keeps those of the current row."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._file)
        self.seen.append(line)
        return line


def is_separator_line(row: Row) -> bool:
    """Return whether a row only tells Excel the delimiter (``sep=;``)."""
    return row.cells[0].lower().startswith("sep=") and not any(row.cells[1:]) and len(row.cells[0]) <= len("sep=,")


def _detect_delimiter(file: TextIO) -> str:
    """Return the delimiter, judging by the first line that is not empty; rewind the file."""
    first = next((line for line in file if line.strip()), "")
    file.seek(0)
    if match := _SEPARATOR_LINE.fullmatch(first.rstrip("\r\n")):
        return match[1]
    return max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open as text. An undecodable byte becomes U+FFFD: it spoils its own cell, not the file."""
    with path.open(encoding=_detect_encoding(path), errors="replace", newline="") as file:
        yield file


def _detect_encoding(path: Path) -> str:
    """Return the encoding of the byte order mark, UTF-16 if every second byte is NUL, UTF-8, or the usual one on Windows."""
    with open_bytes(path) as file:
        head = file.read(4)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if head[1::2] == b"\0\0" or head[::2] == b"\0\0":
        return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return _WINDOWS
    return "utf-8"


@contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
    """Open as bytes. Raises BadInput."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}): enter the path of a CSV file.") from error
