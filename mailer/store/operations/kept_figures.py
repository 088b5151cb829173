"""Figures that take long to count, kept as JSON until they are counted again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each, json


@dataclass(frozen=True)
class KeptFigures:
    """``seconds``: what counting them took; ``age``: how many seconds ago that was."""

    figures: Any
    seconds: float
    made_at: datetime
    age: float


def get(tx: Tx, name: str) -> KeptFigures | None:
    """Return kept figures, or None."""
    rows = tx.all(
        """
        SELECT figures, seconds, made_at, extract(epoch FROM now() - made_at)::float8 AS age
        FROM kept_figures WHERE name = %(name)s
        """,
        name=name,
    )
    return each(rows, KeptFigures)[0] if rows else None


def save(tx: Tx, name: str, figures: object, seconds: float) -> None:
    """Keep figures in place of older ones."""
    tx.run(
        """
        INSERT INTO kept_figures (name, figures, seconds) VALUES (%(name)s, %(figures)s, %(seconds)s)
        ON CONFLICT (name) DO UPDATE SET figures = excluded.figures, seconds = excluded.seconds, made_at = now()
        """,
        name=name,
        figures=json(figures),
        seconds=seconds,
    )


def try_lock(tx: Tx, name: str) -> bool:
    """Lock out other processes that would count the same, until the transaction ends; return whether none of them does."""
    return bool(tx.value("SELECT pg_try_advisory_xact_lock(hashtext('postmerge.figures'), hashtext(%(name)s))", name=name))
