"""Uploaded files for imports: stored in pieces until they are imported, at most for a day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from mailer.core.db import Row, Tx

_PIECE_BYTES = 1 << 20  # bytes


def save_file(tx: Tx, import_id: int, file: BinaryIO) -> None:
    """Store a file in pieces."""
    place = 0
    while piece := file.read(_PIECE_BYTES):
        tx.run(
            "INSERT INTO import_parts (import_id, place, bytes) VALUES (%(id)s, %(place)s, %(bytes)s)",
            id=import_id,
            place=place,
            bytes=piece,
        )
        place += 1


def iterate_pieces(tx: Tx, import_id: int) -> Iterator[bytes]:
    """Yield the file's pieces; nothing if it was deleted."""
    place = 0
    while row := tx.one(
        "SELECT bytes FROM import_parts WHERE import_id = %(id)s AND place = %(place)s", id=import_id, place=place
    ):
        yield bytes(row["bytes"])
        place += 1


def begin(tx: Tx, import_id: int) -> Row | None:
    """Mark an import as in progress and return its row; None if it is in progress (for under an hour) or done."""
    return tx.one(
        """
        UPDATE imports SET state = 'in_progress', started_at = now()
        WHERE id = %(id)s
            AND (state = 'not_started' OR (state = 'in_progress' AND started_at < now() - interval '1 hour'))
        RETURNING *
        """,
        id=import_id,
    )


def delete_file(tx: Tx, import_id: int) -> None:
    """Delete the file."""
    tx.run("DELETE FROM import_parts WHERE import_id = %(id)s", id=import_id)


def expire_old(tx: Tx) -> int:
    """Delete files older than a day and mark their imports as failed; return how many imports."""
    tx.run(
        """
        DELETE FROM import_parts USING imports
        WHERE imports.id = import_id AND imports.created_at < now() - interval '1 day'
        """
    )
    return tx.run(
        """
        UPDATE imports SET state = 'failed', results = jsonb_build_object('reason', 'nobody started it within a day')
        WHERE state = 'not_started' AND created_at < now() - interval '1 day'
        """
    )
