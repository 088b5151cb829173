"""Audience rules as SQL: who would get a mail, counted or frozen into deliveries."""

from __future__ import annotations

from typing import Any

from mailer.audience import Both, Either, Everyone, Not, Rule, Tag
from mailer.db import Tx

# Active readers whose address is not suppressed, who do not pause and want every issue; every audience is cut from these.
_MAILABLE = """
        FROM subscribers
        WHERE state = 'active'
            AND frequency = 'every'
            AND (paused_until IS NULL OR paused_until <= now())
            AND NOT EXISTS (
                SELECT FROM suppressions WHERE suppressions.email_normal = subscribers.email_normal
            )
            AND {rule}
"""


def count(tx: Tx, rule: Rule) -> int:
    """How many readers the rule chooses now."""
    where, values = _compiled(rule)
    return int(tx.value("SELECT count(*)" + _MAILABLE.format(rule=where), **values))


def freeze(tx: Tx, send_id: int, rule: Rule) -> int:
    """Write the audience down as ``pending`` deliveries, in one statement; how many."""
    where, values = _compiled(rule)
    chosen = _MAILABLE.format(rule=where)
    return tx.run(
        f"INSERT INTO deliveries (send_id, subscriber_id) SELECT %(send_id)s, subscribers.id {chosen}",
        send_id=send_id,
        **values,
    )


def unknown_tags(tx: Tx, names: set[str]) -> list[str]:
    """Those of the names that no subscriber has as a tag."""
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


def _compiled(rule: Rule) -> tuple[str, dict[str, Any]]:
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
