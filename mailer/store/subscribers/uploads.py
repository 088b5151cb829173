"""Files that were brought for an import: kept in pieces until they are imported, at most a day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from mailer.core.db import Row, Tx

_PIECE = 1 << 20  # bytes


def keep(tx: Tx, import_id: int, file: BinaryIO) -> None:
    """Keep a file, piece by piece."""
    place = 0
    while piece := file.read(_PIECE):
        tx.run(
            "INSERT INTO import_parts (import_id, place, bytes) VALUES (%(id)s, %(place)s, %(bytes)s)",
            id=import_id,
            place=place,
            bytes=piece,
        )
        place += 1


def pieces(tx: Tx, import_id: int) -> Iterator[bytes]:
    """The file again, piece by piece; nothing when it is gone."""
    place = 0
    while row := tx.one(
        "SELECT bytes FROM import_parts WHERE import_id = %(id)s AND place = %(place)s", id=import_id, place=place
    ):
        yield bytes(row["bytes"])
        place += 1


def begin(tx: Tx, import_id: int) -> Row | None:
    """Mark an import as being at work; None when it is (for less than an hour), or is done. Its row, locked no longer."""
    return tx.one(
        """
        UPDATE imports SET state = 'in_progress', started_at = now()
        WHERE id = %(id)s
            AND (state = 'not_started' OR (state = 'in_progress' AND started_at < now() - interval '1 hour'))
        RETURNING *
        """,
        id=import_id,
    )


def drop(tx: Tx, import_id: int) -> None:
    """The file goes."""
    tx.run("DELETE FROM import_parts WHERE import_id = %(id)s", id=import_id)


def drop_old(tx: Tx) -> int:
    """Files that wait for more than a day go, and their imports have failed; how many imports."""
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
