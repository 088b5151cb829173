"""Segments as named audience rules: put in where a rule names one, and kept from going in circles."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailer.core import audience, public_ids
from mailer.core.audience import Rule
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput
from mailer.store.sending import audiences
from mailer.store.subscribers import segments

AUDIENCE = "subscriber.audience"
MOST = 200  # segments in the whole of a rule
MAX_SEGMENT_DEPTH = 10  # segments inside one another


@dataclass(frozen=True)
class Known:
    """A segment, its rule as text, and how many readers would get a mail to it now; ``wrong`` says why there is no number."""

    id: str
    name: str
    description: str
    rule: str
    size: int | None
    wrong: str = ""


def read(tx: Tx, text: str) -> Rule:
    """The rule that ``text`` says, with the rules of the segments it names in their place.

    Raises BadInput naming the column of what cannot be read or of a segment that is not there, or the circle segments make.
    """
    rule = audience.parse(text)
    if not audience.segments(rule):
        return rule
    return filled(rule, filters(tx), f"The audience {audience.shown(text)}")


def every(database: Database) -> list[Known]:
    """All segments, by name, with how many readers each chooses now."""
    with database.transaction() as tx:
        return [_known(tx, one) for one in segments.every(tx)]


def named(database: Database, name: str) -> Known | None:
    """The segment of this name, with how many readers it chooses now, or None."""
    with database.transaction() as tx:
        found = next((one for one in segments.every(tx) if plain(one.name) == plain(name)), None)
        return _known(tx, found) if found else None


def rule_of(group: Mapping[str, Any], place: str = "filters") -> str:
    """Filters in the contract's shape as an audience rule. Raises BadInput naming the field that cannot be asked for."""
    parts = [_term(one, f"{place}.filters.{number}") for number, one in enumerate(group["filters"])]
    groups = (rule_of(one, f"{place}.groups.{number}") for number, one in enumerate(group["groups"]))
    parts += [f"({rule})" for rule in groups if rule != "everyone"]
    rule = f" {group['predicate']} ".join(parts) or "everyone"
    audience.parse(rule)
    return rule


def _known(tx: Tx, one: segments.Segment) -> Known:
    rule, size, wrong = "", None, ""
    try:
        rule = rule_of(one.filters)
        size = audiences.count(tx, read(tx, rule))
    except BadInput as error:
        wrong = str(error)
    return Known(public_ids.public("segment", one.id), one.name, one.description, rule, size, wrong)


def filters(tx: Tx) -> dict[str, Mapping[str, Any]]:
    """The filters of each segment by its plain name."""
    return {plain(one.name): one.filters for one in segments.every(tx)}


def filled(rule: Rule, known: Mapping[str, Mapping[str, Any]], where: str) -> Rule:
    """The rule with the rules of its segments in their place; ``where`` begins the sentence of an error. Raises BadInput."""
    return _filled(rule, known, where, (), itertools.count(1))


def _filled(rule: Rule, known: Mapping[str, Mapping[str, Any]], where: str, above: Sequence[str], used: Iterator[int]) -> Rule:
    def find(one: audience.Segment) -> Rule:
        if next(used) > MOST:
            raise BadInput(f"{where} leads to more than {MOST} segments: name fewer, or say the rule itself.", "filters")
        if len(above) >= MAX_SEGMENT_DEPTH:
            raise BadInput(
                f"{where} leads to more than {MAX_SEGMENT_DEPTH} segments inside one another: name fewer.", "filters"
            )
        if one.name in above:
            circle = " → ".join([*above[above.index(one.name) :], one.name])
            raise BadInput(f"{where} goes in a circle ({circle}): take one of these segments out of another.", "filters")
        if one.name not in known:
            near = difflib.get_close_matches(one.name, known, 3)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`postmerge segments` lists those that are."
            raise BadInput(f"{where} names a segment {one.name!r} at column {one.column} that is not there: {hint}", "filters")
        inner = audience.parse(rule_of(known[one.name]))
        return _filled(inner, known, f"The segment {one.name!r}", (*above, one.name), used)

    return audience.filled(rule, find)


def plain(name: str) -> str:
    """A segment's name as it is compared."""
    return " ".join(name.lower().split())


def _whole(rule: str, negated: bool, place: str) -> str:
    try:
        audience.parse(rule)
    except BadInput as error:
        raise BadInput(str(error), f"{place}.value") from error
    return f"not ({rule})" if negated else rule if rule == "everyone" else f"({rule})"


_SIGNS = {"equals": "=", "not_equals": "!=", "greater_than": ">", "less_than": "<"}


def said(rule: str) -> dict[str, Any]:
    """A rule as filters in the contract's shape, with the one field that is ours: ``subscriber.audience`` holds any rule."""
    return {"filters": [{"field": AUDIENCE, "operator": "equals", "value": rule}], "groups": [], "predicate": "and"}


def _term(one: Mapping[str, Any], place: str) -> str:
    field, operator, value = one["field"], one["operator"], str(one["value"])
    if field == AUDIENCE and operator in ("equals", "not_equals"):
        return _whole(value, operator == "not_equals", place)
    if '"' in value or not value.isprintable():
        raise BadInput(f"The value of {field} holds signs that a rule cannot hold: leave them out.", f"{place}.value")
    negated = "not " if operator.startswith("not") else ""
    if field == "subscriber.tags" and operator in ("equals", "contains", "not_equals", "not_contains") and value.strip():
        return f'{negated}"{value}"'
    if field == "subscriber.segment" and operator in ("equals", "not_equals") and value.strip():
        return f'{negated}segment "{value}"'
    if field.startswith("subscriber.metadata."):
        name = f'metadata."{field.removeprefix("subscriber.metadata.")}"'
        if operator in ("is_empty", "is_not_empty"):
            return f"{'not ' if operator == 'is_empty' else ''}{name}"
        if operator in _SIGNS:
            number = operator.endswith("than") and re.fullmatch(r"-?\d+(\.\d+)?", value)
            return f"{name} {_SIGNS[operator]} {value if number else chr(34) + value + chr(34)}"
    if field == "subscriber.subscription_date" and operator in ("greater_than", "less_than"):
        return f"joined {_SIGNS[operator]} {value[:10]}"
    instead = "use tags, metadata, the subscription date, or any rule in subscriber.audience"
    raise BadInput(f"A segment cannot ask for {field} with {operator}: {instead}.", place)
