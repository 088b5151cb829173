"""Figures of a large ledger take seconds to count: a page shows the last ones at once, and they are counted again behind it.

What is counted quickly is never kept, so that pages of most newsletters are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from mailer.core.db import Database
from mailer.store.operations import kept_figures

T = TypeVar("T")

QUICK_SECONDS = 0.05
_MIN_FRESH_SECONDS = 5.0
_FRESH_FACTOR = 20  # counting takes at most a twentieth of one core's time


@dataclass(frozen=True)
class Figures(Generic[T]):
    """Figures, when they were counted, and what counts them again if they are not fresh."""

    value: T
    made_at: datetime
    kept: bool
    recount: Callable[[], None] | None


def read_figures(database: Database, name: str, shape: Any, count: Callable[[], T]) -> Figures[T]:
    """Return the figures of this name. ``shape`` is their type, dataclasses of JSON values and times."""
    with database.transaction() as tx:
        found = kept_figures.get(tx, name)
    if found is None or found.seconds < QUICK_SECONDS:
        return Figures(_count(database, name, shape, count), datetime.now(UTC), kept=False, recount=None)
    fresh = found.age < max(_MIN_FRESH_SECONDS, found.seconds * _FRESH_FACTOR)
    value: T = TypeAdapter(shape).validate_python(found.figures)
    return Figures(value, found.made_at, True, None if fresh else lambda: _recount(database, name, shape, count))


def _count(database: Database, name: str, shape: Any, count: Callable[[], T]) -> T:
    started = time.monotonic()
    value = count()
    seconds = time.monotonic() - started
    with database.transaction() as tx:
        if seconds < QUICK_SECONDS:
            kept_figures.delete(tx, name)
        else:
            kept_figures.save(tx, name, TypeAdapter(shape).dump_python(value, mode="json"), seconds)
    return value


def _recount(database: Database, name: str, shape: Any, count: Callable[[], T]) -> None:
    """Count again, unless another process does."""
    with database.transaction() as tx:
        if kept_figures.try_lock(tx, name):
            _count(database, name, shape, count)
