"""One change for many readers or tags, as the API's bulk actions ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mailer.core import log, public_ids
from mailer.core.db import Database, Row
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.settings import Settings
from mailer.flows.subscribers import segments, subscriber_admin
from mailer.flows.subscribers import tags as tagging
from mailer.flows.subscribers.subscriber_admin import Wish
from mailer.store.operations import api_records
from mailer.store.sending import audiences
from mailer.store.subscribers import bulk_actions
from mailer.store.subscribers import subscriber_admin as stored_subscriber_admin

events = log.get("bulk")

AT_ONCE = 1_000  # things changed while the request waits; more are left to a worker
BATCH = (
    200  # things between two looks at whether to stop; after a kill at most so many are changed again, which changes nothing
)

Change = Callable[[Database, Settings, str, Mapping[str, Any]], object]


def run(database: Database, settings: Settings, kind: str, metadata: Mapping[str, Any]) -> Row:
    """Write down what is to be done, and do it when it is little; how the action is then. ``metadata.done`` counts.

    Raises BadInput before anything is written. A thing that is not there, or that a rule protects, is passed over.
    """
    if kind not in _KINDS:
        raise BadInput(f"{kind} is not done here: use one of {', '.join(_KINDS)}.")
    targets = _chosen(database, kind, metadata)
    _check(kind, metadata)
    with database.transaction() as tx:
        row = bulk_actions.add(tx, kind, metadata, targets)
    if len(targets) <= AT_ONCE:
        while work(database, settings, row["id"]):
            pass
    with database.transaction() as tx:
        return api_records.get(tx, "bulk_actions", row["id"]) or row


def has_work(database: Database) -> bool:
    """Is any action not finished?"""
    with database.transaction() as tx:
        return bulk_actions.has_work(tx)


def work(database: Database, settings: Settings, number: int | None = None) -> bool:
    """One batch of the oldest action (or the one named), one transaction for each thing; whether there may be more to do.

    Safe to run at once in several processes: an action belongs to one of them at a time.
    """
    with database.transaction() as tx:
        action = bulk_actions.take(tx, number)
        if action is None:
            return False
        batch = bulk_actions.targets(tx, action["id"], BATCH)
        if batch:
            change = _KINDS[action["type"]]
            done = sum(_try(change, database, settings, target, action["metadata"]) for _, target in batch)
            bulk_actions.advance(tx, action["id"], batch[-1][0], done)
        else:
            bulk_actions.finish(tx, action["id"])
            events.info("bulk.done", action=action["id"], type=action["type"], done=action["metadata"].get("done"))
    return True


def _chosen(database: Database, kind: str, metadata: Mapping[str, Any]) -> Sequence[str]:
    """Who is meant: the ids given, or the readers whom the audience rule ``metadata.rule`` chooses now."""
    rule, ids = metadata.get("rule"), metadata.get("ids")
    if rule is not None and ids is not None:
        raise BadInput("metadata has both ids and a rule: give one of them.", "metadata.rule")
    if rule is not None and kind not in ("delete_tags", "change_tags_colors"):
        if not isinstance(rule, str):
            raise BadInput("metadata.rule must be an audience rule, such as `python and not beginners`.", "metadata.rule")
        with database.transaction() as tx:
            found = audiences.list_members(tx, segments.read(tx, rule))
        if not found:
            raise BadInput(
                "metadata.rule chooses nobody: `postmerge subscribers list --audience RULE` shows whom.", "metadata.rule"
            )
        return [public_ids.public("sub", one) for one in found]
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise BadInput("metadata.ids must list what is meant, as public ids.", "metadata.ids")
    return ids


def _try(change: Change, database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> bool:
    try:
        return bool(change(database, settings, one, metadata))
    except BadInput:
        return False
    except PostmergeError:
        raise  # Postgres is away: the whole batch comes again
    except Exception:
        events.exception("bulk.broken", target=one)
        return False


def _apply_tags(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    names = {tag.name if (tag := tagging.find(database, given)) else given for given in metadata["tags"]}
    clean = subscriber_admin.clean_tags(sorted(names))
    with database.transaction() as tx:
        found = subscriber_admin.look_up(tx, one)
        if found is None:
            return None
        stored_subscriber_admin.lock(tx, found.id)
        again = stored_subscriber_admin.by_id(tx, found.id)
        assert again
        tags = set(again.tags) - set(clean) if metadata.get("action") == "remove" else {*again.tags, *clean}
        stored_subscriber_admin.amend(tx, found.id, {"tags": sorted(tags)})
    return found


def _unsubscribe(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.change(database, one, Wish(kind="unsubscribed"))


def _delete(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.remove(database, settings, one)


def _remind(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.remind(database, settings, one)


def _metadata(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.change(database, one, Wish(metadata=metadata["metadata"]), gains=True)


def _delete_tag(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return tagging.remove(database, one)


def _color(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return tagging.change(database, one, {"color": metadata["color"]})


def _check(kind: str, metadata: Mapping[str, Any]) -> None:
    if kind == "apply_tags":
        tags = metadata.get("tags")
        if not isinstance(tags, list) or not tags or not all(isinstance(one, str) for one in tags):
            raise BadInput("metadata.tags must list the tags to give.")
        subscriber_admin.clean_tags([one for one in tags if public_ids.number("sub_tag", one) is None])
        if metadata.get("action", "add") not in ("add", "remove"):
            raise BadInput("metadata.action must be add or remove.", "metadata.action")
    if kind == "apply_metadata":
        given = metadata.get("metadata")
        if not isinstance(given, dict):
            raise BadInput("metadata.metadata must be the object to give.")
        subscriber_admin.check_metadata(given)
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
