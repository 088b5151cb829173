"""Conditions on metadata: a value at a key, or at a path of keys joined by dots, as an index finds it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from mailer.store.subscribers.subscriber_records import Condition

_MISSING = "null"  # stands for a value that is missing
_MAX_INDEXED = 40  # objects that are looked up for one condition; for more of them the table is read
_PLACE = re.compile(r"-?\d+")  # of an element in a list
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,99})(\.\d{1,99})?")  # as Postgres writes one in JSON


def match_metadata(number: int, key: str, values: Sequence[str], negated: bool) -> Condition:
    """Build the condition that the value at ``key``, as text, is one of ``values``.

    ``number`` tells the parameters of several conditions apart. The values are compared as text; where that can be said as
    JSON, it is, so that an index finds the rows.
    """
    name = f"metadata_{number}"
    value = f"coalesce(metadata ->> %({name}_key)s, metadata #>> %({name}_path)s::text [])"
    missing = f" OR {value} IS NULL" if _MISSING in values else ""
    condition = f"coalesce({value} = ANY(%({name}_values)s::text []){missing}, false)"
    facts: dict[str, object] = {f"{name}_key": key, f"{name}_path": key.split("."), f"{name}_values": list(values)}
    if negated:
        return Condition(f"NOT {condition}", facts)
    objects = {f"{name}_object_{place}": one for place, one in enumerate(_list_objects(key, values))}
    if objects:
        indexed = " OR ".join(f"metadata @> %({one})s::jsonb" for one in objects)
        condition = f"metadata <> '{{}}' AND ({indexed}) AND {condition}"
    return Condition(condition, facts | objects)


def _list_objects(key: str, values: Sequence[str]) -> list[str]:
    """List JSON objects of which each row with such a value contains one; none if that cannot be said."""
    path = key.split(".")
    wanted = [json_value for value in values for json_value in _list_json(value)]
    cannot_be_said = any(value == _MISSING or value.startswith(("{", "[")) for value in values) or any(
        _PLACE.fullmatch(part) for part in path
    )
    paths = [[key]] if len(path) == 1 else [[key], path]
    if cannot_be_said or len(wanted) * len(paths) > _MAX_INDEXED:
        return []
    return [_nest(one, value) for one in paths for value in wanted]


def _list_json(value: str) -> list[str]:
    """The JSON values that are this text: a string, and perhaps a number or a boolean."""
    is_other = value in ("true", "false") or _NUMBER.fullmatch(value)
    return [json.dumps(value), *([value] if is_other else [])]


def _nest(path: Sequence[str], value: str) -> str:
    for part in reversed(path):
        value = f"{{{json.dumps(part)}: {value}}}"
    return value
