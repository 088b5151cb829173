"""Segments as named audience rules: expanded wherever a rule names one, and checked for circular references."""

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

AUDIENCE_FIELD = "subscriber.audience"
MAX_SEGMENTS = 200  # in one rule, after expansion
MAX_SEGMENT_DEPTH = 10  # nested segments


@dataclass(frozen=True)
class SegmentSummary:
    """A segment, its rule as text, and how many subscribers it matches now.

    ``wrong`` says why there is no number.
    """

    id: str
    name: str
    description: str
    rule: str
    size: int | None
    wrong: str = ""


def read_rule(tx: Tx, text: str) -> Rule:
    """Parse an audience rule and expand the segments it names.

    Raises BadInput with the column of what cannot be parsed or of a missing segment, or with the circular reference.
    """
    rule = audience.parse(text)
    if not audience.segments(rule):
        return rule
    return expand_rule(rule, list_filters(tx), f"The audience {audience.shown(text)}")


def list_segments(database: Database) -> list[SegmentSummary]:
    """Return all segments by name, with how many subscribers each matches now."""
    with database.transaction() as tx:
        return [_summarize(tx, one) for one in segments.list_all(tx)]


def find_segment(database: Database, name: str) -> SegmentSummary | None:
    """Return the segment with this name and how many subscribers it matches now, or None."""
    with database.transaction() as tx:
        found = next((one for one in segments.list_all(tx) if normalize_name(one.name) == normalize_name(name)), None)
        return _summarize(tx, found) if found else None


def build_rule(group: Mapping[str, Any], place: str = "filters") -> str:
    """Convert filters in the contract's shape to an audience rule. Raises BadInput naming an unsupported field."""
    parts = [_build_term(one, f"{place}.filters.{number}") for number, one in enumerate(group["filters"])]
    groups = (build_rule(one, f"{place}.groups.{number}") for number, one in enumerate(group["groups"]))
    parts += [f"({rule})" for rule in groups if rule != "everyone"]
    rule = f" {group['predicate']} ".join(parts) or "everyone"
    audience.parse(rule)
    return rule


def _summarize(tx: Tx, one: segments.StoredSegment) -> SegmentSummary:
    rule, size, wrong = "", None, ""
    try:
        rule = build_rule(one.filters)
        size = audiences.count(tx, read_rule(tx, rule))
    except BadInput as error:
        wrong = str(error)
    return SegmentSummary(public_ids.public("segment", one.id), one.name, one.description, rule, size, wrong)


def list_filters(tx: Tx) -> dict[str, Mapping[str, Any]]:
    """Return the filters of each segment by its normalized name."""
    return {normalize_name(one.name): one.filters for one in segments.list_all(tx)}


def expand_rule(rule: Rule, known: Mapping[str, Mapping[str, Any]], where: str) -> Rule:
    """Replace the segments in a rule by their rules. ``where`` begins the text of an error. Raises BadInput."""
    return _expand(rule, known, where, (), itertools.count(1))


def _expand(rule: Rule, known: Mapping[str, Mapping[str, Any]], where: str, above: Sequence[str], used: Iterator[int]) -> Rule:
    def find(one: audience.Segment) -> Rule:
        if next(used) > MAX_SEGMENTS:
            raise BadInput(
                f"{where} leads to more than {MAX_SEGMENTS} segments: name fewer, or write the rule itself.", "filters"
            )
        if len(above) >= MAX_SEGMENT_DEPTH:
            raise BadInput(f"{where} leads to more than {MAX_SEGMENT_DEPTH} nested segments: name fewer.", "filters")
        if one.name in above:
            circle = " → ".join([*above[above.index(one.name) :], one.name])
            raise BadInput(
                f"{where} contains a circular reference ({circle}): remove one of these segments from another.", "filters"
            )
        if one.name not in known:
            near = difflib.get_close_matches(one.name, known, 3)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`postmerge segments` lists the existing ones."
            raise BadInput(
                f"{where} names a segment {one.name!r} at column {one.column} that does not exist: {hint}", "filters"
            )
        inner = audience.parse(build_rule(known[one.name]))
        return _expand(inner, known, f"The segment {one.name!r}", (*above, one.name), used)

    return audience.filled(rule, find)


def normalize_name(name: str) -> str:
    """Return a segment's name in the form used for comparison."""
    return " ".join(name.lower().split())


def _build_audience_term(rule: str, negated: bool, place: str) -> str:
    try:
        audience.parse(rule)
    except BadInput as error:
        raise BadInput(str(error), f"{place}.value") from error
    return f"not ({rule})" if negated else rule if rule == "everyone" else f"({rule})"


_OPERATORS = {"equals": "=", "not_equals": "!=", "greater_than": ">", "less_than": "<"}


def build_filters(rule: str) -> dict[str, Any]:
    """Wrap a rule as filters in the contract's shape: our own field ``subscriber.audience`` accepts any rule."""
    return {"filters": [{"field": AUDIENCE_FIELD, "operator": "equals", "value": rule}], "groups": [], "predicate": "and"}


def _build_term(one: Mapping[str, Any], place: str) -> str:
    field, operator, value = one["field"], one["operator"], str(one["value"])
    if field == AUDIENCE_FIELD and operator in ("equals", "not_equals"):
        return _build_audience_term(value, operator == "not_equals", place)
    if '"' in value or not value.isprintable():
        raise BadInput(f"The value of {field} contains quotes or unprintable characters: leave them out.", f"{place}.value")
    negated = "not " if operator.startswith("not") else ""
    if field == "subscriber.tags" and operator in ("equals", "contains", "not_equals", "not_contains") and value.strip():
        return f'{negated}"{value}"'
    if field == "subscriber.segment" and operator in ("equals", "not_equals") and value.strip():
        return f'{negated}segment "{value}"'
    if field.startswith("subscriber.metadata."):
        name = f'metadata."{field.removeprefix("subscriber.metadata.")}"'
        if operator in ("is_empty", "is_not_empty"):
            return f"{'not ' if operator == 'is_empty' else ''}{name}"
        if operator in _OPERATORS:
            number = operator.endswith("than") and re.fullmatch(r"-?\d+(\.\d+)?", value)
            return f"{name} {_OPERATORS[operator]} {value if number else chr(34) + value + chr(34)}"
    if field == "subscriber.subscription_date" and operator in ("greater_than", "less_than"):
        return f"joined {_OPERATORS[operator]} {value[:10]}"
    instead = "use tags, metadata, the subscription date, or any rule in subscriber.audience"
    raise BadInput(f"A segment cannot filter {field} with {operator}: {instead}.", place)
