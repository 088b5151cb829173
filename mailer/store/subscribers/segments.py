"""Segments: named choices of readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Segment:
    """A segment with its filters in the contract's shape."""

    id: int
    name: str
    description: str
    filters: dict[str, Any]


def every(tx: Tx) -> list[Segment]:
    """All segments, by name."""
    return each(tx.all("SELECT id, name, description, filters FROM segments ORDER BY lower(name), id"), Segment)


def waiting_audiences(tx: Tx) -> list[tuple[str, str]]:
    """The issue and the audience of each send that has not started."""
    rows = tx.all("SELECT issue_key, audience FROM sends WHERE state IN ('scheduled', 'holding') ORDER BY id")
    return [(row["issue_key"], row["audience"]) for row in rows]
