"""Tags as things of their own: colour, words. Who has a tag stands in ``subscribers.tags``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Tag:
    """A tag; ``name`` is lower case, as readers have it."""

    id: int
    name: str
    color: str
    description: str | None
    public_description: str | None
    subscriber_editable: bool
    created_at: datetime


_COLUMNS = "id, name, color, description, public_description, subscriber_editable, created_at"


def page(tx: Tx, limit: int, offset: int, ids: Sequence[int] | None) -> tuple[list[Tag], int]:
    """Some tags in the order in which they came, and how many there are."""
    where = "WHERE id = ANY(%(ids)s::bigint [])" if ids is not None else ""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM tags {where} ORDER BY id LIMIT %(limit)s OFFSET %(offset)s",
        limit=limit,
        offset=offset,
        ids=list(ids or []),
    )
    return each(rows, Tag), int(tx.value(f"SELECT count(*) FROM tags {where}", ids=list(ids or [])))


def get(tx: Tx, tag_id: int) -> Tag | None:
    """The tag with this id, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM tags WHERE id = %(id)s", id=tag_id)
    return Tag(**row) if row else None


def named(tx: Tx, name: str) -> Tag | None:
    """The tag with this name, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM tags WHERE name = %(name)s", name=name)
    return Tag(**row) if row else None


def editable(tx: Tx) -> list[str]:
    """The names of the tags that any subscriber may choose."""
    return [str(row["name"]) for row in tx.all("SELECT name FROM tags WHERE subscriber_editable ORDER BY name")]


def create(tx: Tx, name: str) -> int | None:
    """A new tag's id, or None when the name is taken."""
    found = tx.value("INSERT INTO tags (name) VALUES (%(name)s) ON CONFLICT DO NOTHING RETURNING id", name=name)
    return int(found) if found else None


def amend(tx: Tx, tag_id: int, changes: Mapping[str, Any]) -> None:
    """Set columns; the caller chooses their names from its own list."""
    if changes:
        sets = ", ".join(f"{name} = %({name})s" for name in changes)
        tx.run(f"UPDATE tags SET {sets} WHERE id = %(id)s", id=tag_id, **changes)


def rename_on_readers(tx: Tx, old: str, new: str) -> int:
    """Readers with the old name get the new one; how many."""
    return tx.run(
        """
        UPDATE subscribers SET tags = ARRAY(
            SELECT DISTINCT CASE WHEN one = %(old)s THEN %(new)s ELSE one END FROM unnest(tags) AS one ORDER BY 1
        )
        WHERE tags @> ARRAY[%(old)s]
        """,
        old=old,
        new=new,
    )


def take_from_readers(tx: Tx, name: str) -> int:
    """Nobody has this tag any more; how many had."""
    return tx.run("UPDATE subscribers SET tags = array_remove(tags, %(name)s) WHERE tags @> ARRAY[%(name)s]", name=name)


def delete(tx: Tx, tag_id: int) -> None:
    """The tag itself goes."""
    tx.run("DELETE FROM tags WHERE id = %(id)s", id=tag_id)
