"""Segments: named audiences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class StoredSegment:
    """A segment with its filters in the contract's shape."""

    id: int
    name: str
    description: str
    filters: dict[str, Any]


def list_all(tx: Tx) -> list[StoredSegment]:
    """Return all segments, by name."""
    return each(tx.all("SELECT id, name, description, filters FROM segments ORDER BY lower(name), id"), StoredSegment)


def list_waiting_audiences(tx: Tx) -> list[tuple[str, str]]:
    """Return the issue and the audience of each send that has not started."""
    rows = tx.all("SELECT issue_key, audience FROM sends WHERE state IN ('scheduled', 'holding') ORDER BY id")
    return [(row["issue_key"], row["audience"]) for row in rows]
