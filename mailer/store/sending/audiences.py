"""Audience rules as SQL: count the subscribers that a rule selects, or freeze them into deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mailer.core.audience import Both, Compare, Either, Everyone, Not, Rule, Segment, Sent, Tag
from mailer.core.db import Tx
from mailer.core.errors import BadInput
from mailer.store.subscribers import text_selection
from mailer.store.subscribers.suppressions import WANTS_EMAILS

# Active subscribers who want every issue, are not paused and whose address is not suppressed: the base of every audience.
MAILABLE = f"""
        FROM subscribers
        WHERE {WANTS_EMAILS}
            AND frequency = 'every'
            AND {{rule}}
"""


def count(tx: Tx, rule: Rule) -> int:
    """How many subscribers the rule selects now."""
    where, values = compile_rule(rule)
    return int(tx.value("SELECT count(*)" + MAILABLE.replace("{rule}", where), **values))


def count_by_text(tx: Tx, rule: Rule, texts: Mapping[str, str]) -> dict[str, int]:
    """How many of the rule's subscribers would get each variant now ("": the original); ``texts`` as in ``claim``."""
    where, values = compile_rule(rule)
    rows = tx.all(
        f"""
        SELECT coalesce({text_selection.VARIANT}, '') AS variant, count(*)::int AS number
        FROM subscribers
        LEFT JOIN entitlements ON entitlements.subscriber_id = subscribers.id
        WHERE subscribers.id IN (SELECT subscribers.id {MAILABLE.replace("{rule}", where)})
        GROUP BY 1
        ORDER BY 1
        """,
        **values,
        **texts,
    )
    return {row["variant"]: row["number"] for row in rows}


def freeze(tx: Tx, send_id: int, rule: Rule) -> int:
    """Insert the audience as ``pending`` deliveries, in one statement; returns how many."""
    where, values = compile_rule(rule)
    chosen = MAILABLE.replace("{rule}", where)
    return tx.run(
        f"INSERT INTO deliveries (send_id, subscriber_id) SELECT %(send_id)s, subscribers.id {chosen}",
        send_id=send_id,
        **values,
    )


def list_subscriber_ids(tx: Tx, rule: Rule) -> list[int]:
    """The ids of the subscribers that the rule selects now, oldest first."""
    where, values = compile_rule(rule)
    rows = tx.all("SELECT subscribers.id" + MAILABLE.replace("{rule}", where) + "ORDER BY subscribers.id", **values)
    return [row["id"] for row in rows]


def list_unknown_tags(tx: Tx, names: set[str]) -> list[str]:
    """The names that no subscriber has as a tag."""
    rows = tx.all(
        """
        SELECT name
        FROM unnest(%(names)s::text []) AS name
        WHERE NOT EXISTS (SELECT FROM subscribers WHERE subscribers.tags @> ARRAY[name])
        ORDER BY name
        """,
        names=sorted(names),
    )
    return [row["name"] for row in rows]


def compile_rule(rule: Rule) -> tuple[str, dict[str, Any]]:
    """A rule as one SQL condition over ``subscribers`` (never NULL) and its parameters."""
    values: dict[str, Any] = {}
    return _sql(rule, values), values


def _sql(rule: Rule, values: dict[str, Any]) -> str:
    match rule:
        case Everyone():
            return "true"
        case Tag(name):
            key = f"tag_{len(values)}"
            values[key] = [name]
            return f"tags @> %({key})s::text []"
        case Not(inner):
            return f"NOT ({_sql(inner, values)})"
        case Both(left, right):
            return f"({_sql(left, values)} AND {_sql(right, values)})"
        case Either(left, right):
            return f"({_sql(left, values)} OR {_sql(right, values)})"
        case Compare():
            return _compare(rule, values)
        case Sent():
            return _sent(rule, values)
        case Segment(name):
            raise BadInput(f"The segment {name!r} was not expanded in the rule: this is a bug in Postmerge, please report it.")


def _sent(rule: Sent, values: dict[str, Any]) -> str:
    key = f"sent_{len(values)}"
    values |= {key: rule.issue, f"{key}_edition": rule.number}
    return f"""EXISTS (
                SELECT FROM deliveries JOIN sends ON sends.id = deliveries.send_id
                WHERE deliveries.subscriber_id = subscribers.id
                    AND sends.issue_key = %({key})s AND sends.edition_number = %({key}_edition)s
                    AND deliveries.state IN ('accepted', 'delivered', 'bounced', 'complained', 'uncertain')
            )"""


_MOMENTS = {
    "joined": "coalesce(confirmed_at, created_at)",
    "active": "greatest(active_at, confirmed_at, created_at)",
}
_TEXTS = {"lang": "lower(lang)", "domain": "split_part(email_normal, '@', 2)"}


def _compare(rule: Compare, values: dict[str, Any]) -> str:
    key = f"value_{len(values)}"
    if rule.field == "metadata":
        return _metadata(rule, key, values)
    values[key] = rule.value.lower() if isinstance(rule.value, str) else rule.value
    if rule.field in _TEXTS:
        return f"{_TEXTS[rule.field]} {_OPERATORS[rule.op]} %({key})s"
    moment = _MOMENTS[rule.field]
    if isinstance(rule.value, timedelta):
        return f"{moment} >= now() - %({key})s"
    return f"({moment} AT TIME ZONE 'UTC')::date {_OPERATORS[rule.op]} %({key})s"


_OPERATORS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _metadata(rule: Compare, key: str, values: dict[str, Any]) -> str:
    """Numbers are compared as numbers, whether kept as such or as text; text without regard to case."""
    name = f"name_{len(values)}"
    values[name] = rule.name
    found = f"(metadata ->> %({name})s)"
    if rule.op == "has":
        return f"coalesce({found} <> '', false)"
    values[key] = rule.value.lower() if isinstance(rule.value, str) else rule.value
    otherwise = "true" if rule.op == "!=" else "false"
    if isinstance(rule.value, Decimal):
        number = f"CASE WHEN {found} ~ '^-?[0-9]{{1,15}}([.][0-9]{{1,15}})?$' THEN {found}::numeric END"
        return f"coalesce({number} {_OPERATORS[rule.op]} %({key})s, {otherwise})"
    return f"coalesce(lower({found}) {_OPERATORS[rule.op]} %({key})s, {otherwise})"
