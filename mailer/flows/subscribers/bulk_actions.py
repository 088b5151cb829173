"""Apply one change to many subscribers or tags: the API's bulk actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mailer.core import log, public_ids
from mailer.core.db import Database, Row
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.settings import Settings
from mailer.flows.subscribers import segment_rules, subscriber_admin, tag_admin
from mailer.flows.subscribers.subscriber_admin import SubscriberChanges
from mailer.store.operations import api_records
from mailer.store.sending import audiences
from mailer.store.subscribers import bulk_actions, subscriber_records

logger = log.get("bulk")

MAX_TARGETS_AT_ONCE = 1_000  # changed during the request; larger actions are left to a worker
MAX_TARGETS_PER_BATCH = (
    # A killed worker repeats at most one batch, and repeating a change has no effect.
    200
)

ApplyChange = Callable[[Database, Settings, str, Mapping[str, Any]], object]


def run_action(database: Database, settings: Settings, kind: str, metadata: Mapping[str, Any]) -> Row:
    """Record a bulk action and, if it is small, carry it out; return its row. ``metadata.done`` counts the changes.

    Raises BadInput before anything is written. Targets that do not exist or are protected by a rule are skipped.
    """
    if kind not in _ACTIONS:
        raise BadInput(f"{kind} is not a supported action: use one of {', '.join(_ACTIONS)}.")
    targets = _select_targets(database, kind, metadata)
    _check_metadata(kind, metadata)
    with database.transaction() as tx:
        row = bulk_actions.add(tx, kind, metadata, targets)
    if len(targets) <= MAX_TARGETS_AT_ONCE:
        while work_batch(database, settings, row["id"]):
            pass
    with database.transaction() as tx:
        return api_records.get(tx, "bulk_actions", row["id"]) or row


def has_work(database: Database) -> bool:
    """Return whether any action is unfinished."""
    with database.transaction() as tx:
        return bulk_actions.has_work(tx)


def work_batch(database: Database, settings: Settings, number: int | None = None) -> bool:
    """Process one batch of the oldest action (or of the given one); return whether there may be more.

    Each target has a transaction of its own. Safe to run in several processes: an action belongs to one of them at a time.
    """
    with database.transaction() as tx:
        action = bulk_actions.claim_next(tx, number)
        if action is None:
            return False
        batch = bulk_actions.list_targets(tx, action["id"], MAX_TARGETS_PER_BATCH)
        if batch:
            change = _ACTIONS[action["type"]]
            done = sum(_try_change(change, database, settings, target, action["metadata"]) for _, target in batch)
            bulk_actions.advance(tx, action["id"], batch[-1][0], done)
        else:
            bulk_actions.finish(tx, action["id"])
            logger.info("bulk.done", action=action["id"], type=action["type"], done=action["metadata"].get("done"))
    return True


def _select_targets(database: Database, kind: str, metadata: Mapping[str, Any]) -> Sequence[str]:
    """Return the ids given, or the subscribers whom the audience rule ``metadata.rule`` matches now."""
    rule, ids = metadata.get("rule"), metadata.get("ids")
    if rule is not None and ids is not None:
        raise BadInput("metadata has both ids and a rule: give only one of them.", "metadata.rule")
    if rule is not None and kind not in ("delete_tags", "change_tags_colors"):
        if not isinstance(rule, str):
            raise BadInput("metadata.rule must be an audience rule, such as `python and not beginners`.", "metadata.rule")
        with database.transaction() as tx:
            found = audiences.list_subscriber_ids(tx, segment_rules.read_rule(tx, rule))
        if not found:
            raise BadInput(
                "metadata.rule matches no subscriber: `postmerge subscribers list --audience RULE` shows whom a rule matches.",
                "metadata.rule",
            )
        return [public_ids.public("sub", one) for one in found]
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise BadInput("metadata.ids must be a list of public ids.", "metadata.ids")
    return ids


def _try_change(change: ApplyChange, database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> bool:
    try:
        return bool(change(database, settings, one, metadata))
    except BadInput:
        return False
    except PostmergeError:
        raise  # Postgres is unavailable: the whole batch is retried
    except Exception:
        logger.exception("bulk.broken", target=one)
        return False


def _apply_tags(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    names = {tag.name if (tag := tag_admin.find_tag(database, given)) else given for given in metadata["tags"]}
    clean = subscriber_admin.normalize_tags(sorted(names))
    with database.transaction() as tx:
        found = subscriber_admin.look_up_subscriber(tx, one)
        if found is None:
            return None
        subscriber_records.lock(tx, found.id)
        again = subscriber_records.by_id(tx, found.id)
        assert again
        tags = set(again.tags) - set(clean) if metadata.get("action") == "remove" else {*again.tags, *clean}
        subscriber_records.update(tx, found.id, {"tags": sorted(tags)})
    return found


def _unsubscribe(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.change_subscriber(database, one, SubscriberChanges(kind="unsubscribed"))


def _delete(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.erase_subscriber(database, settings, one)


def _send_reminder(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.send_reminder(database, settings, one)


def _apply_metadata(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return subscriber_admin.change_subscriber(database, one, SubscriberChanges(metadata=metadata["metadata"]), gains=True)


def _delete_tag(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return tag_admin.delete_tag(database, one)


def _change_tag_color(database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> object:
    return tag_admin.change_tag(database, one, {"color": metadata["color"]})


def _check_metadata(kind: str, metadata: Mapping[str, Any]) -> None:
    if kind == "apply_tags":
        tags = metadata.get("tags")
        if not isinstance(tags, list) or not tags or not all(isinstance(one, str) for one in tags):
            raise BadInput("metadata.tags must be a list of tags.")
        subscriber_admin.normalize_tags([one for one in tags if public_ids.number("sub_tag", one) is None])
        if metadata.get("action", "add") not in ("add", "remove"):
            raise BadInput("metadata.action must be add or remove.", "metadata.action")
    if kind == "apply_metadata":
        given = metadata.get("metadata")
        if not isinstance(given, dict):
            raise BadInput("metadata.metadata must be an object.")
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


_ACTIONS: dict[str, ApplyChange] = {
    "apply_tags": _apply_tags,
    "apply_metadata": _apply_metadata,
    "unsubscribe_subscribers": _unsubscribe,
    "delete_subscribers": _delete,
    "send_reminders": _send_reminder,
    "delete_tags": _delete_tag,
    "change_tags_colors": _change_tag_color,
}
