"""Create, change and delete segments.

A segment must not refer to itself, directly or through others, or to one that does not exist. One that is in use cannot be
deleted or renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mailer.core import audience, public_ids
from mailer.core.db import Database, Row, Tx, is_unique_violation
from mailer.core.errors import BadInput, Refused
from mailer.flows.subscribers.segment_rules import build_filters, build_rule, expand_rule, list_filters, normalize_name
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.operations import api_records
from mailer.store.subscribers import segments

T = TypeVar("T")


def create_segment(database: Database, values: Mapping[str, Any]) -> Row:
    """Create a segment. Raises BadInput for filters that no rule can express, and Rejected if the name is taken."""
    with database.transaction() as tx:
        _check_segment(tx, str(values["name"]), values["filters"], None)
        return _reject_duplicate(lambda: api_records.insert(tx, "segments", values))


def change_segment(database: Database, public: str, values: Mapping[str, Any]) -> Row | None:
    """Change a segment; None if there is none. Raises as ``create_segment``, and Refused for renaming one that is in use."""
    number = public_ids.number("segment", public)
    with database.transaction() as tx:
        row = api_records.get(tx, "segments", number) if number is not None else None
        if row is None or number is None:
            return None
        if normalize_name(values.get("name", row["name"])) != normalize_name(row["name"]):
            _check_unused(tx, row["name"])
        _check_segment(tx, values.get("name", row["name"]), values.get("filters", row["filters"]), row["name"])
        return _reject_duplicate(lambda: api_records.update(tx, "segments", number, values))


def define_segment(database: Database, name: str, rule: str, description: str | None = None) -> bool:
    """Create or redefine a segment by name; return whether it is new. Raises BadInput for an invalid or circular rule."""
    audience.parse(rule)
    values = {"filters": build_filters(rule), **({} if description is None else {"description": description})}
    public = _find_public_id(database, name)
    if public is None:
        create_segment(database, {"name": name, "description": "", **values})
        return True
    change_segment(database, public, values)
    return False


def remove_by_name(database: Database, name: str) -> bool:
    """Delete the segment with this name; return whether there was one. Raises as ``delete_segment``."""
    public = _find_public_id(database, name)
    return public is not None and delete_segment(database, public)


def _find_public_id(database: Database, name: str) -> str | None:
    with database.transaction() as tx:
        found = (one.id for one in segments.list_all(tx) if normalize_name(one.name) == normalize_name(name))
        number = next(found, None)
    return None if number is None else public_ids.public("segment", number)


def delete_segment(database: Database, public: str) -> bool:
    """Delete a segment; return whether there was one. Raises Refused while a segment or a pending send uses it."""
    number = public_ids.number("segment", public)
    with database.transaction() as tx:
        row = api_records.get(tx, "segments", number) if number is not None else None
        if row is None or number is None:
            return False
        _check_unused(tx, row["name"])
        return api_records.delete(tx, "segments", number)


def _check_segment(tx: Tx, name: str, asked: Mapping[str, Any], before: str | None) -> None:
    """Raise BadInput if the rule cannot be expressed, refers to a missing segment, or is circular."""
    known = list_filters(tx)
    if before is not None:
        known.pop(normalize_name(before), None)
    if normalize_name(name) in known:
        raise Rejected("name_already_exists", "A segment with this name already exists.")
    if not normalize_name(name) or '"' in name or not name.isprintable():
        raise BadInput("The name must contain printable characters only, and no quotes or line breaks.", "name")
    build_rule(asked)
    known[normalize_name(name)] = asked
    expand_rule(audience.Segment(normalize_name(name)), known, "The segment")


def _check_unused(tx: Tx, name: str) -> None:
    for one in segments.list_all(tx):
        if _names_segment(build_rule(one.filters), name):
            raise Refused(f"The segment {one.name!r} uses this one: change it first.")
    for issue, text in segments.list_waiting_audiences(tx):
        if _names_segment(text, name):
            raise Refused(f"The issue {issue} is scheduled for this segment: change or cancel that send first.")


def _names_segment(rule: str, segment: str) -> bool:
    return any(one.name == normalize_name(segment) for one in audience.segments(audience.parse(rule)))


def _reject_duplicate(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        if is_unique_violation(error):
            raise Rejected("name_already_exists", "A segment with this name already exists.") from error
        raise
