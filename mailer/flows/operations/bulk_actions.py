"""Apply one change to many subscribers or tags: the API's bulk actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailer.core import log, public_ids
from mailer.core.db import Database, PageRange, Row
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.settings import Settings
from mailer.flows.operations import bulk_changes
from mailer.flows.operations.bulk_changes import Apply, BulkChange
from mailer.flows.subscribers import segment_rules
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.operations import api_records
from mailer.store.sending import audiences
from mailer.store.subscribers import bulk_actions, subscriber_records, tags
from mailer.store.subscribers.subscriber_records import Condition

logger = log.get("bulk")

ALL = ["all"]  # in place of ids
MAX_TARGETS_AT_ONCE = 1_000  # changed during the request; larger actions are left to a worker
MAX_TARGETS_PER_BATCH = (
    # A killed worker repeats at most one batch, and repeating a change has no effect.
    200
)


def run_action(
    database: Database, settings: Settings, kind: str, metadata: Mapping[str, Any], where: Sequence[Condition] = ()
) -> Row:
    """Record a bulk action and, if it is small, carry it out; return its row. ``metadata.done`` counts the changes.

    ``where`` narrows down who "all" subscribers are. Raises BadInput before anything is written. Targets that do not exist or
    are protected by a rule are skipped.
    """
    change = bulk_changes.get_change(kind)
    change.check(metadata)
    targets = _select_targets(database, change, metadata, where)
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
            apply = bulk_changes.get_change(action["type"]).apply
            done = sum(_try_change(apply, database, settings, target, action["metadata"]) for _, target in batch)
            bulk_actions.advance(tx, action["id"], batch[-1][0], done)
        else:
            bulk_actions.finish(tx, action["id"])
            logger.info("bulk.done", action=action["id"], type=action["type"], done=action["metadata"].get("done"))
    return True


def _select_targets(
    database: Database, change: BulkChange, metadata: Mapping[str, Any], where: Sequence[Condition]
) -> Sequence[str]:
    """Return the ids given, all but those given with a minus, or the subscribers whom ``metadata.rule`` matches now."""
    rule, ids = metadata.get("rule"), metadata.get("ids")
    if rule is not None and ids is not None:
        raise BadInput("metadata has both ids and a rule: give only one of them.", "metadata.rule")
    if rule is not None and change.kind == "sub":
        return _select_by_rule(database, rule)
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise Rejected("bulk_action_invalid_ids", 'metadata.ids must be a list of public ids, or ["all"].')
    excluded = {one.removeprefix("-") for one in ids if one.startswith("-")}
    if excluded and len(excluded) < len(set(ids)):
        raise Rejected("bulk_action_invalid_ids", "metadata.ids has ids with a minus and others: give one sort of them.")
    numbers = [_read_id(change.kind, one) for one in sorted(excluded)]
    if ids == ALL or excluded:
        return [public_ids.public(change.kind, one) for one in _list_all(database, change.kind, where) if one not in numbers]
    for one in ids:
        _read_id(change.kind, one)
    return ids


def _read_id(kind: str, text: str) -> int | None:
    """Return the number of a public id; None for an address or a tag's name. Raises Rejected for what is neither."""
    number = public_ids.number(kind, text)
    if number is None and not (kind == "sub" and "@" in text) and (kind != "sub_tag" or text.startswith("sub_tag_")):
        raise Rejected("bulk_action_invalid_ids", f"metadata.ids has an invalid id: {text[:60]!r}.")
    return number


def _list_all(database: Database, kind: str, where: Sequence[Condition]) -> list[int]:
    with database.transaction() as tx:
        if kind == "sub":
            return subscriber_records.list_ids(tx, where)
        return [one.id for one in tags.list_page(tx, PageRange(1_000_000), None)[0]]


def _select_by_rule(database: Database, rule: object) -> list[str]:
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


def _try_change(apply: Apply, database: Database, settings: Settings, one: str, metadata: Mapping[str, Any]) -> bool:
    try:
        return bool(apply(database, settings, one, metadata))
    except BadInput:
        return False
    except PostmergeError:
        raise  # Postgres is unavailable: the whole batch is retried
    except Exception:
        logger.exception("bulk.broken", target=one)
        return False
