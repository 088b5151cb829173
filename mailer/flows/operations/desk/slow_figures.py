"""Figures of a large ledger take seconds to count: a page shows the last ones at once, and they are counted again behind it.

What is counted quickly is never kept, so that pages of most newsletters are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from mailer.core.db import Database
from mailer.store.operations import kept_figures

T = TypeVar("T")

QUICK_SECONDS = 0.05
MIN_LARGE_ROWS = 100_000
_MIN_FRESH_SECONDS = 5.0
_FRESH_FACTOR = 20  # counting takes at most a twentieth of one core's time


@dataclass(frozen=True)
class Figures(Generic[T]):
    """Figures, when they were counted, and what counts them again if they are not fresh.

    ``pending``: they were never counted, and ``value`` stands in for them.
    """

    value: T
    made_at: datetime
    kept: bool
    recount: Callable[[], None] | None
    pending: bool = False


def read_figures(
    database: Database, name: str, shape: Any, count: Callable[[], T], rows: int = 0, empty: Callable[[], T] | None = None
) -> Figures[T]:
    """Return the figures of this name. ``shape`` is their type, dataclasses of JSON values and times.

    If they were never counted and about so many ``rows`` are too many to wait for, ``empty`` stands in for them.
    """
    with database.transaction() as tx:
        found = kept_figures.get(tx, name)
    if found is None and empty and rows >= MIN_LARGE_ROWS:
        recount = partial(_recount, database, name, shape, count)
        return Figures(empty(), datetime.now(UTC), kept=False, recount=recount, pending=True)
    if found is None or found.seconds < QUICK_SECONDS:
        return Figures(_count(database, name, shape, count), datetime.now(UTC), kept=False, recount=None)
    fresh = found.age < max(_MIN_FRESH_SECONDS, found.seconds * _FRESH_FACTOR)
    value: T = TypeAdapter(shape).validate_python(found.figures)
    return Figures(value, found.made_at, True, None if fresh else partial(_recount, database, name, shape, count))


def _count(database: Database, name: str, shape: Any, count: Callable[[], T], keep: bool = False) -> T:
    started = time.monotonic()
    value = count()
    seconds = time.monotonic() - started
    if keep or seconds >= QUICK_SECONDS:
        with database.transaction() as tx:
            kept_figures.save(tx, name, TypeAdapter(shape).dump_python(value, mode="json"), seconds)
    return value


def _recount(database: Database, name: str, shape: Any, count: Callable[[], T]) -> None:
    """Count again, unless another process does."""
    with database.transaction() as tx:
        if kept_figures.try_lock(tx, name):
            _count(database, name, shape, count, keep=True)
