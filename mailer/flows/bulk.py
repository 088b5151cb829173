"""One change for many readers or tags, as the API's bulk actions ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mailer import log, public_ids
from mailer.db import Database, Row
from mailer.errors import BadInput
from mailer.flows import members, records, segments, tagging
from mailer.flows.members import Wish
from mailer.settings import Settings
from mailer.store import audiences
from mailer.store import members as shown
from mailer.store import records as kept

events = log.get("bulk")

MOST = 1000  # things in one action

Change = Callable[[Database, Settings, str, Mapping[str, Any]], object]


def run(database: Database, settings: Settings, kind: str, metadata: Mapping[str, Any]) -> Row:
    """Do it, one transaction for each thing, and write down that it was done. Raises BadInput before anything is done.

    A thing that is not there, or that a rule protects, is passed over.
    """
    change = _KINDS.get(kind)
    if change is None:
        raise BadInput(f"{kind} is not done here: use one of {', '.join(_KINDS)}.")
    ids = _chosen(database, kind, metadata)
    _check(kind, metadata)
    row = records.create(database, "bulk_actions", {"type": kind, "metadata": dict(metadata), "state": "in_progress"})
    done = sum(_try(change, database, settings, one, metadata) for one in ids)
    events.info("bulk.done", action=row["id"], type=kind, asked=len(ids), done=done)
    with database.transaction() as tx:
        values = {"state": "processed", "done_at": kept.now(tx), "metadata": {**metadata, "done": str(done)}}
        finished = kept.amend(tx, "bulk_actions", row["id"], values)
    assert finished
    return finished


def _chosen(database: Database, kind: str, metadata: Mapping[str, Any]) -> Sequence[str]:
    """Who is meant: the ids given, or the readers whom the audience rule ``metadata.rule`` chooses now."""
    rule, ids = metadata.get("rule"), metadata.get("ids")
    if rule is not None and ids is None and kind not in ("delete_tags", "change_tags_colors"):
        if not isinstance(rule, str):
            raise BadInput("metadata.rule must be an audience rule, such as `python and not beginners`.", "metadata.rule")
        with database.transaction() as tx:
            found = audiences.members(tx, segments.read(tx, rule))
        if not 1 <= len(found) <= MOST:
            raise BadInput(f"metadata.rule chooses {len(found):,} readers: 1 to {MOST:,} are changed at once.", "metadata.rule")
        return [public_ids.public("sub", one) for one in found]
    if not isinstance(ids, list) or not ids or len(ids) > MOST or not all(isinstance(one, str) for one in ids):
        raise BadInput(f"metadata.ids must list what is meant: 1 to {MOST:,} public ids.", "metadata.ids")
    return ids


def _try(change: Change, database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> bool:
    try:
        return bool(change(database, settings, one, metadata))
    except BadInput:
        return False


def _apply_tags(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    names = {tag.name if (tag := tagging.find(database, given)) else given for given in metadata["tags"]}
    clean = members.clean_tags(sorted(names))
    with database.transaction() as tx:
        found = members.look_up(tx, one)
        if found is None:
            return None
        shown.lock(tx, found.id)
        again = shown.by_id(tx, found.id)
        assert again
        tags = set(again.tags) - set(clean) if metadata.get("action") == "remove" else {*again.tags, *clean}
        shown.amend(tx, found.id, {"tags": sorted(tags)})
    return found


def _unsubscribe(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return members.change(database, one, Wish(kind="unsubscribed"))


def _delete(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return members.remove(database, settings, one)


def _remind(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return members.remind(database, settings, one)


def _metadata(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    found = members.find(database, one)
    return found and members.change(database, one, Wish(metadata={**found.metadata, **metadata["metadata"]}))


def _delete_tag(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return tagging.remove(database, one)


def _color(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return tagging.change(database, one, {"color": metadata["color"]})


def _check(kind: str, metadata: Mapping[str, Any]) -> None:
    if kind == "apply_tags":
        tags = metadata.get("tags")
        if not isinstance(tags, list) or not tags or not all(isinstance(one, str) for one in tags):
            raise BadInput("metadata.tags must list the tags to give.")
        members.clean_tags([one for one in tags if public_ids.number("sub_tag", one) is None])
    if kind == "apply_metadata" and not isinstance(metadata.get("metadata"), dict):
        raise BadInput("metadata.metadata must be the object to give.")
    if kind == "change_tags_colors" and not _is_color(metadata.get("color")):
        raise BadInput("metadata.color must be a colour such as #0069FF.")


def _is_color(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) == 7
        and value[0] == "#"
        and all(sign in "0123456789abcdefABCDEF" for sign in value[1:])
    )


_KINDS: dict[str, Change] = {
    "apply_tags": _apply_tags,
    "apply_metadata": _metadata,
    "unsubscribe_subscribers": _unsubscribe,
    "delete_subscribers": _delete,
    "send_reminders": _remind,
    "delete_tags": _delete_tag,
    "change_tags_colors": _color,
}
