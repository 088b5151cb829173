"""Tags with their colours and descriptions. Who has a tag is in ``subscribers.tags``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.core.db import PageRange, Tx, each


@dataclass(frozen=True)
class SubscriberTag:
    """A tag; ``name`` is lower case, as in ``subscribers.tags``, ``label`` the name as it was written, if anybody wrote it."""

    id: int
    name: str
    label: str
    color: str
    description: str | None
    public_description: str | None
    subscriber_editable: bool
    created_at: datetime

    @property
    def shown(self) -> str:
        """Its name as people wrote it."""
        return self.label or self.name


_COLUMNS = "id, name, label, color, description, public_description, subscriber_editable, created_at"


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


def create(tx: Tx, name: str, label: str) -> int | None:
    """Create a tag; return its id, or None if the name is taken."""
    found = tx.value(
        "INSERT INTO tags (name, label) VALUES (%(name)s, %(label)s) ON CONFLICT DO NOTHING RETURNING id",
        name=name,
        label=label,
    )
    return int(found) if found else None


def add_spelled(tx: Tx, written: Sequence[str]) -> None:
    """Keep how tags are written, before somebody gets them; a tag that has a label keeps it. In lower case nothing is kept."""
    labels = {tag.strip().lower(): tag.strip() for tag in written if tag != tag.lower()}
    if not labels:
        return
    tx.run(
        """
        INSERT INTO tags (name, label)
        SELECT * FROM unnest(%(names)s::text [], %(labels)s::text []) AS given (name, label) ORDER BY name
        ON CONFLICT (name) DO UPDATE SET label = excluded.label WHERE tags.label = ''
        """,
        names=list(labels),
        labels=list(labels.values()),
    )


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
