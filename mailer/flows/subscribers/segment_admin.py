"""Segments made, changed and taken away; none may lead back to itself, name what is not there, or go while it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mailer.core import audience, public_ids
from mailer.core.db import Database, Row, Tx, is_unique_violation
from mailer.core.errors import BadInput, Refused
from mailer.flows.subscribers.segments import filled, filters, plain, rule_of, said
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.operations import api_records
from mailer.store.subscribers import segments

T = TypeVar("T")


def create(database: Database, values: Mapping[str, Any]) -> Row:
    """A new segment. Raises BadInput for filters that no rule can say, and Rejected when the name is taken."""
    with database.transaction() as tx:
        _check(tx, str(values["name"]), values["filters"], None)
        return _written(lambda: api_records.insert(tx, "segments", values))


def change(database: Database, public: str, values: Mapping[str, Any]) -> Row | None:
    """Change a segment; None when there is none. Raises as ``create``, and Refused for a new name while others use the old."""
    number = public_ids.number("segment", public)
    with database.transaction() as tx:
        row = api_records.get(tx, "segments", number) if number is not None else None
        if row is None or number is None:
            return None
        if plain(values.get("name", row["name"])) != plain(row["name"]):
            _unused(tx, row["name"])
        _check(tx, values.get("name", row["name"]), values.get("filters", row["filters"]), row["name"])
        return _written(lambda: api_records.update(tx, "segments", number, values))


def define(database: Database, name: str, rule: str, description: str | None = None) -> bool:
    """Let a name stand for a rule; whether the name is new. Raises BadInput for one that cannot be read or goes in a circle."""
    audience.parse(rule)
    values = {"filters": said(rule), **({} if description is None else {"description": description})}
    public = _public(database, name)
    if public is None:
        create(database, {"name": name, "description": "", **values})
        return True
    change(database, public, values)
    return False


def remove(database: Database, name: str) -> bool:
    """``delete`` by name."""
    public = _public(database, name)
    return public is not None and delete(database, public)


def _public(database: Database, name: str) -> str | None:
    with database.transaction() as tx:
        found = (one.id for one in segments.every(tx) if plain(one.name) == plain(name))
        number = next(found, None)
    return None if number is None else public_ids.public("segment", number)


def delete(database: Database, public: str) -> bool:
    """Take a segment away; whether there was one. Raises Refused while another segment or a waiting send uses it."""
    number = public_ids.number("segment", public)
    with database.transaction() as tx:
        row = api_records.get(tx, "segments", number) if number is not None else None
        if row is None or number is None:
            return False
        _unused(tx, row["name"])
        return api_records.delete(tx, "segments", number)


def _check(tx: Tx, name: str, asked: Mapping[str, Any], before: str | None) -> None:
    """Could a segment be so? Raises BadInput when its rule cannot be said, names what is not there, or leads back to itself."""
    known = filters(tx)
    if before is not None:
        known.pop(plain(before), None)
    if plain(name) in known:
        raise Rejected("name_already_exists", "There is one of this name already.")
    if not plain(name) or '"' in name or not name.isprintable():
        raise BadInput("The name must be of signs that a rule can hold: leave quotes and line ends out.", "name")
    rule_of(asked)
    known[plain(name)] = asked
    filled(audience.Segment(plain(name)), known, "The segment")


def _unused(tx: Tx, name: str) -> None:
    for one in segments.every(tx):
        if _names(rule_of(one.filters), name):
            raise Refused(f"The segment {one.name!r} uses this one: change that first.")
    for issue, text in segments.waiting_audiences(tx):
        if _names(text, name):
            raise Refused(f"The issue {issue} waits to be sent to this segment: change or cancel that first.")


def _names(rule: str, segment: str) -> bool:
    return any(one.name == plain(segment) for one in audience.segments(audience.parse(rule)))


def _written(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        if is_unique_violation(error):
            raise Rejected("name_already_exists", "There is one of this name already.") from error
        raise
