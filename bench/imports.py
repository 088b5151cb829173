"""Import and export of many readers: ``python -m bench.imports [LINES]`` prints seconds for each step."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mailer.db import Database
from mailer.flows import exporting, importing
from mailer.flows.importing import Request
from mailer.migrate import migrate
from tests import factories, services

T = TypeVar("T")
TAGS = ("python", "mail", "paris", "lyon", "vip", "early birds")


def main(number: int) -> None:
    """Run the bench with so many lines."""
    with services.scratch("imports") as folder, services.postgres(folder, durable=True) as url:
        services.run_outside_transaction(url, "CREATE DATABASE bench")
        database = Database(services.on_database(url, "bench"))
        migrate(database)
        _bench(database, folder, number)
        database.close()


def _bench(database: Database, folder: Path, number: int) -> None:
    settings = factories.settings(folder)
    source, back = folder / "list.csv", folder / "export.csv"
    _write(source, number)
    request = Request(source, evidence="the old list's own confirmations, 2016 to 2026")
    print(f"{number:,} lines, {source.stat().st_size / 1e6:.0f} MB")
    print(_timed("plan on an empty database", lambda: importing.plan(database, settings, request)).counts)
    print(_timed("apply on an empty database", lambda: importing.apply(database, settings, request)).counts)
    print(_timed("plan again: nothing to do", lambda: importing.plan(database, settings, request)).counts)
    _timed("export", lambda: exporting.export_to(database, back))
    print(f"{back.stat().st_size / 1e6:.0f} MB")


def _write(path: Path, number: int) -> None:
    dice = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        file.write("email,tags,created_at,City,Plan\n")
        for index in range(number):
            tags = ",".join(dice.sample(TAGS, dice.randint(0, 3)))
            day = f"20{dice.randint(16, 25)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}T10:00:00Z"
            file.write(f'Reader.{index}@host{index % 5000}.example.org,"{tags}",{day},City {index % 900},basic\n')


def _timed(name: str, do: Callable[[], T]) -> T:
    started = time.monotonic()
    result = do()
    print(f"{name:<32}{time.monotonic() - started:8.1f} s")
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
