"""Images that clients uploaded for drafts. Each function is one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each, json


@dataclass(frozen=True)
class DraftImage:
    """An image, without its content; ``name`` is its file below the folder of images."""

    id: int
    name: str
    metadata: dict[str, Any]
    created_at: datetime


_COLUMNS = "id, name, metadata, created_at"


def add(tx: Tx, name: str, digest: bytes, content: bytes, metadata: Mapping[str, Any]) -> DraftImage:
    """Add an image and return it; of two with the same content (its SHA-256), the first stays as it is."""
    row = tx.one(
        f"""
        WITH made AS (
            INSERT INTO draft_images (name, digest, content, metadata)
            VALUES (%(name)s, %(digest)s, %(content)s, %(metadata)s)
            ON CONFLICT DO NOTHING
            RETURNING {_COLUMNS}
        )

        SELECT {_COLUMNS} FROM made
        UNION ALL
        SELECT {_COLUMNS} FROM draft_images WHERE digest = %(digest)s
        LIMIT 1
        """,
        name=name,
        digest=digest,
        content=content,
        metadata=json(dict(metadata)),
    )
    assert row
    return DraftImage(**row)


def list_all(tx: Tx) -> list[DraftImage]:
    """All images, by name."""
    return each(tx.all(f"SELECT {_COLUMNS} FROM draft_images ORDER BY name"), DraftImage)


def list_contents(tx: Tx, text: str) -> dict[str, bytes]:
    """The contents of the images whose names are in a text, by name."""
    rows = tx.all("SELECT name, content FROM draft_images WHERE position(name IN %(text)s) > 0 ORDER BY name", text=text)
    return {row["name"]: bytes(row["content"]) for row in rows}


def delete(tx: Tx, image_id: int) -> None:
    """Delete an image; the branches that have it keep it."""
    tx.run("DELETE FROM draft_images WHERE id = %(id)s", id=image_id)
