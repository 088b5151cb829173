"""Import and export of many subscribers: ``python -m bench.imports`` prints seconds for each step, on a durable Postgres."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bench.databases import fresh_database
from bench.figures import Figures
from mailer.core.db import Database
from mailer.flows.subscribers import exports, imports
from mailer.flows.subscribers.imports import ImportRequest
from tests import factories

T = TypeVar("T")
TAGS = ("python", "mail", "paris", "lyon", "vip", "early birds")


def main() -> None:
    """Run the bench."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--lines", type=int, default=1_000_000)
    given = command.parse_args()
    with fresh_database("imports") as (database, folder):
        rows = _bench(database, folder, given.lines)
    Figures("imports", (f"{given.lines:,} lines", "figure"), rows).show()


def _bench(database: Database, folder: Path, number: int) -> list[tuple[str, str]]:
    settings = factories.settings(folder)
    source, back = folder / "list.csv", folder / "export.csv"
    write_list(source, number)
    request = ImportRequest(source, evidence="the old list's own confirmations, 2016 to 2026")
    planned, first = _timed(lambda: imports.plan_import(database, settings, request))
    applied, second = _timed(lambda: imports.apply_import(database, settings, request))
    again, third = _timed(lambda: imports.plan_import(database, settings, request))
    _, fourth = _timed(lambda: exports.export_to_path(database, back))
    return [
        ("the file", f"{source.stat().st_size / 1e6:.0f} MB"),
        (f"plan on an empty database ({_counts(planned.counts)})", first),
        (f"apply, in one transaction ({_counts(applied.counts)})", second),
        (f"plan again ({_counts(again.counts)})", third),
        (f"export, {back.stat().st_size / 1e6:.0f} MB", fourth),
    ]


def write_list(path: Path, number: int) -> None:
    """Write a list of so many addresses as CSV, with tags, dates and two fields."""
    dice = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        file.write("email,tags,created_at,City,Plan\n")
        for index in range(number):
            tags = ",".join(dice.sample(TAGS, dice.randint(0, 3)))
            day = f"20{dice.randint(16, 25)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}T10:00:00Z"
            file.write(f'Reader.{index}@host{index % 5000}.example.org,"{tags}",{day},City {index % 900},basic\n')


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)


def _timed(do: Callable[[], T]) -> tuple[T, str]:
    started = time.monotonic()
    result = do()
    return result, f"{time.monotonic() - started:.1f} s"


if __name__ == "__main__":
    main()
