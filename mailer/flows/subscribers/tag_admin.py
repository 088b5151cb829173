"""Create, change, rename and delete tags. Each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailer.core import public_ids
from mailer.core.db import Database, PageRange, Tx
from mailer.exchange.cell_values import MAX_TAG_CHARS
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.sending import counters
from mailer.store.subscribers import tags
from mailer.store.subscribers.tags import SubscriberTag


def list_tags(database: Database, page: PageRange, ids: Sequence[int] | None = None) -> tuple[list[SubscriberTag], int]:
    """Return a page of the tags, oldest first, and their total number."""
    with database.transaction() as tx:
        return tags.list_page(tx, page, ids)


def find_tag(database: Database, id_or_name: str) -> SubscriberTag | None:
    """Return the tag with this public id, number or name, or None."""
    with database.transaction() as tx:
        return _find(tx, id_or_name)


def create_tag(database: Database, name: str, facts: Mapping[str, Any], overwrite: bool) -> tuple[SubscriberTag, bool]:
    """Create a tag, or change an existing one if ``overwrite``; also return whether it is new. Raises Rejected."""
    label = _check_name(name)
    with database.transaction() as tx:
        made = tags.create(tx, label.lower(), label)
        known = tags.find_by_name(tx, label.lower())
        assert known
        if made is None and not overwrite:
            raise Rejected("name_already_exists", f"A tag {known.shown!r} already exists.")
        tags.update(tx, known.id, {**facts, "label": label})
        return _reload(tx, known.id), made is not None


def change_tag(database: Database, id_or_name: str, facts: Mapping[str, Any]) -> SubscriberTag | None:
    """Change a tag; a new name is applied to all its subscribers. None if there is none. Raises Rejected."""
    wanted = {name: value for name, value in facts.items() if value is not None or "description" in name}
    if "name" in wanted:
        wanted["label"] = _check_name(wanted["name"])
        wanted["name"] = wanted["label"].lower()
    with database.transaction() as tx:
        found = _find(tx, id_or_name)
        if found is None:
            return None
        new = wanted.get("name", found.name)
        if new != found.name:
            if tags.find_by_name(tx, new):
                raise Rejected("name_already_exists", f"A tag {new!r} already exists.")
            tags.update(tx, found.id, wanted)
            tags.rename_on_subscribers(tx, found.name, new)
        else:
            tags.update(tx, found.id, wanted)
        return _reload(tx, found.id)


def delete_tag(database: Database, id_or_name: str) -> bool:
    """Delete a tag, also from all subscribers; return whether there was one."""
    with database.transaction() as tx:
        found = _find(tx, id_or_name)
        if found is None:
            return False
        tags.remove_from_subscribers(tx, found.name)
        tags.delete(tx, found.id)
        return True


def count_subscribers(database: Database, id_or_name: str) -> int | None:
    """Return how many have the tag, or None if there is no such tag."""
    with database.transaction() as tx:
        found = _find(tx, id_or_name)
        return counters.count_tagged(tx, found.name) if found else None


def _find(tx: Tx, id_or_name: str) -> SubscriberTag | None:
    if "\0" in id_or_name:
        return None
    number = public_ids.number("sub_tag", id_or_name)
    found = tags.get(tx, number) if number is not None else None
    return found or tags.find_by_name(tx, id_or_name.lower())


def _reload(tx: Tx, tag_id: int) -> SubscriberTag:
    found = tags.get(tx, tag_id)
    assert found
    return found


def _check_name(name: str) -> str:
    """Return a tag's name without needless spaces. Raises Rejected."""
    name = " ".join(name.split())
    if not name:
        raise Rejected("name_blank", "A tag needs a name.")
    if len(name) > MAX_TAG_CHARS:
        raise Rejected("name_too_long", f"A tag's name has at most {MAX_TAG_CHARS} characters.")
    if not name.isprintable() or not any(sign.isalnum() for sign in name):
        raise Rejected("name_invalid", "A tag's name needs a letter or digit, and only printable characters.")
    return name
