"""What statements read: their plans as Postgres ran them, with buffers, by auto_explain. For tests and benches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mailer.core.db import Database
from tests import services

_READ = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
_SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}


@dataclass(frozen=True)
class Plan:
    """One statement: its text, its milliseconds, the pages it touched, and the nodes of its plan."""

    text: str
    milliseconds: float
    pages: int
    nodes: tuple[dict[str, Any], ...]

    @property
    def scans(self) -> set[str]:
        """The tables that were read from the first row to the last."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"].endswith("Seq Scan") and node["Actual Loops"]}

    @property
    def indexes(self) -> set[str]:
        """The indexes that were used."""
        return {node["Index Name"] for node in self.nodes if "Index Name" in node and node["Actual Loops"]}

    def count_rows(self, *prefixes: str) -> int:
        """How many rows of tables whose names begin so were read, whether they were wanted or not."""
        found = [node for node in self.nodes if node["Node Type"].endswith("Scan") and _table(node).startswith(prefixes)]
        return int(sum(node["Actual Loops"] * sum(node.get(name, 0) for name in _READ) for node in found))


@dataclass(frozen=True)
class Work:
    """What a piece of work ran, and how long it took."""

    plans: tuple[Plan, ...]
    milliseconds: float

    @property
    def pages(self) -> int:
        """The pages that its statements touched, the same page as often as it was touched."""
        return sum(plan.pages for plan in self.plans)

    @property
    def scans(self) -> set[str]:
        """The tables that were read from the first row to the last."""
        return set().union(*(plan.scans for plan in self.plans))

    @property
    def indexes(self) -> set[str]:
        """The indexes that were used."""
        return set().union(*(plan.indexes for plan in self.plans))

    def count_rows(self, *prefixes: str) -> int:
        """How many rows of tables whose names begin so were read, whether they were wanted or not."""
        return sum(plan.count_rows(*prefixes) for plan in self.plans)


@contextmanager
def explained(database: Database) -> Iterator[Callable[[Callable[[], object]], Work]]:
    """Return a function that does work with this database and reports what it ran. One thread may use it."""
    with database.transaction() as tx:
        name = tx.value("SELECT current_database()")
    for setting, value in _SETTINGS.items():
        services.run_outside_transaction(database.url, f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")
    database.close()
    with database.transaction() as tx:
        connection = tx._connection

    def watch(do: Callable[[], object]) -> Work:
        notices = _Notices()
        connection.notices = notices  # type: ignore[assignment]
        started = time.perf_counter()
        do()
        milliseconds = (time.perf_counter() - started) * 1000
        assert database._idle == [connection], "the work must use the connection whose notices are read"
        return Work(tuple(_read(text) for text in notices.texts), milliseconds)

    try:
        yield watch
    finally:
        for setting in _SETTINGS:
            services.run_outside_transaction(database.url, f'ALTER DATABASE "{name}" RESET {setting}')
        database.close()


class _Notices:
    """Keeps each plan; psycopg2 itself keeps the last 50 notices."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def append(self, text: str) -> None:
        if "plan:" in text:
            self.texts.append(text)


def _read(notice: str) -> Plan:
    facts = json.loads(notice[notice.index("{") :])
    top, milliseconds = facts["Plan"], float(notice.split("duration: ")[1].split(" ms")[0])
    return Plan(facts["Query Text"], milliseconds, _count_pages(top), tuple(_walk(top)))


def _table(node: dict[str, Any]) -> str:
    return str(node.get("Relation Name", ""))


def _count_pages(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _walk(below)
