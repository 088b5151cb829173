"""Tags with their colours and descriptions. Who has a tag is in ``subscribers.tags``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import PageRange, Tx, each


@dataclass(frozen=True)
class SubscriberTag:
    """A tag; ``name`` is lower case, as in ``subscribers.tags``."""

    id: int
    name: str
    color: str
    description: str | None
    public_description: str | None
    subscriber_editable: bool
    created_at: datetime


_COLUMNS = "id, name, color, description, public_description, subscriber_editable, created_at"


def list_page(tx: Tx, page: PageRange, ids: Sequence[int] | None) -> tuple[list[SubscriberTag], int]:
    """Return a page of tags, oldest first, and their total number; ``page.after`` is an id."""
    where = "WHERE id = ANY(%(ids)s::bigint [])" if ids is not None else "WHERE true"
    behind = "AND id > %(after)s" if page.after is not None else ""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM tags {where} {behind} ORDER BY id LIMIT %(limit)s OFFSET %(offset)s",
        **vars(page),
        ids=list(ids or []),
    )
    return each(rows, SubscriberTag), int(tx.value(f"SELECT count(*) FROM tags {where}", ids=list(ids or [])))


def get(tx: Tx, tag_id: int) -> SubscriberTag | None:
    """Return the tag with this id, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM tags WHERE id = %(id)s", id=tag_id)
    return SubscriberTag(**row) if row else None


def find_by_name(tx: Tx, name: str) -> SubscriberTag | None:
    """Return the tag with this name, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM tags WHERE name = %(name)s", name=name)
    return SubscriberTag(**row) if row else None


def list_editable(tx: Tx) -> list[str]:
    """Return the names of the tags that any subscriber may choose."""
    return [str(row["name"]) for row in tx.all("SELECT name FROM tags WHERE subscriber_editable ORDER BY name")]


def create(tx: Tx, name: str) -> int | None:
    """Create a tag; return its id, or None if the name is taken."""
    found = tx.value("INSERT INTO tags (name) VALUES (%(name)s) ON CONFLICT DO NOTHING RETURNING id", name=name)
    return int(found) if found else None


def update(tx: Tx, tag_id: int, changes: Mapping[str, Any]) -> None:
    """Set columns; callers choose the names from their own list."""
    if changes:
        sets = ", ".join(f"{name} = %({name})s" for name in changes)
        tx.run(f"UPDATE tags SET {sets} WHERE id = %(id)s", id=tag_id, **changes)


def rename_on_subscribers(tx: Tx, old: str, new: str) -> int:
    """Rename a tag on all its subscribers; return how many."""
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


def remove_from_subscribers(tx: Tx, name: str) -> int:
    """Remove a tag from all subscribers; return how many had it."""
    return tx.run("UPDATE subscribers SET tags = array_remove(tags, %(name)s) WHERE tags @> ARRAY[%(name)s]", name=name)


def delete(tx: Tx, tag_id: int) -> None:
    """Delete the tag itself."""
    tx.run("DELETE FROM tags WHERE id = %(id)s", id=tag_id)
