"""Tags: made, changed, renamed on all readers, taken away. Each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailer.core import public_ids
from mailer.core.db import Database, Tx
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.sending import counters
from mailer.store.subscribers import tags
from mailer.store.subscribers.tags import Tag


def page(database: Database, size: int, number: int, ids: Sequence[int] | None = None) -> tuple[list[Tag], int]:
    """Page ``number`` of the tags, from 1, and how many there are."""
    with database.transaction() as tx:
        return tags.page(tx, size, size * (number - 1), ids)


def find(database: Database, id_or_name: str) -> Tag | None:
    """The tag with this public id, number or name, or None."""
    with database.transaction() as tx:
        return _find(tx, id_or_name)


def create(database: Database, name: str, facts: Mapping[str, Any], overwrite: bool) -> tuple[Tag, bool]:
    """A new tag, or a known one changed when ``overwrite``; and whether it is new. Raises Rejected."""
    name = _name(name)
    with database.transaction() as tx:
        made = tags.create(tx, name)
        known = tags.named(tx, name)
        assert known
        if made is None and not overwrite:
            raise Rejected("name_already_exists", f"There is a tag {name!r} already.")
        tags.amend(tx, known.id, facts)
        return _again(tx, known.id), made is not None


def change(database: Database, id_or_name: str, facts: Mapping[str, Any]) -> Tag | None:
    """Change a tag; a new name goes to all its readers; None when there is none. Raises Rejected."""
    wanted = {name: value for name, value in facts.items() if value is not None or "description" in name}
    if "name" in wanted:
        wanted["name"] = _name(wanted["name"])
    with database.transaction() as tx:
        found = _find(tx, id_or_name)
        if found is None:
            return None
        new = wanted.get("name", found.name)
        if new != found.name:
            if tags.named(tx, new):
                raise Rejected("name_already_exists", f"There is a tag {new!r} already.")
            tags.amend(tx, found.id, wanted)
            tags.rename_on_readers(tx, found.name, new)
        else:
            tags.amend(tx, found.id, wanted)
        return _again(tx, found.id)


def remove(database: Database, id_or_name: str) -> bool:
    """The tag goes, from all readers too; whether there was one."""
    with database.transaction() as tx:
        found = _find(tx, id_or_name)
        if found is None:
            return False
        tags.take_from_readers(tx, found.name)
        tags.delete(tx, found.id)
        return True


def readers(database: Database, id_or_name: str) -> int | None:
    """How many have the tag, or None when there is no such tag."""
    with database.transaction() as tx:
        found = _find(tx, id_or_name)
        return counters.count_tagged(tx, found.name) if found else None


def _find(tx: Tx, id_or_name: str) -> Tag | None:
    if "\0" in id_or_name:
        return None
    number = public_ids.number("sub_tag", id_or_name)
    found = tags.get(tx, number) if number is not None else None
    return found or tags.named(tx, id_or_name.lower())


def _again(tx: Tx, tag_id: int) -> Tag:
    found = tags.get(tx, tag_id)
    assert found
    return found


def _name(name: str) -> str:
    name = " ".join(name.split()).lower()
    if not name:
        raise Rejected("name_blank", "A tag needs a name.")
    if len(name) > 100:
        raise Rejected("name_too_long", "A tag's name has at most 100 characters.")
    if not name.isprintable() or not any(sign.isalnum() for sign in name):
        raise Rejected("name_invalid", "A tag's name needs a letter or digit, and no signs that cannot be read.")
    return name
