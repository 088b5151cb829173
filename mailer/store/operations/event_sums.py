"""Counts of events by type: those of past months are counted once, because events are only ever added."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx

# When the first month begins whose events were not summed up; null before the first sum.
_NEXT = """
    SELECT (max(to_date(split_part(name, ' ', 2), 'YYYY-MM'))::timestamp + interval '1 month') AT TIME ZONE 'UTC'
    FROM kept_figures WHERE starts_with(name, 'events ')
"""


def sum_up_month(tx: Tx) -> bool:
    """Count the events of the first past month that was not counted; return False if there is none.

    A month ends a day late, because an event may be committed after it.
    """
    return bool(
        tx.run(
            f"""
            WITH month AS (
                SELECT begin, begin + interval '1 month' AS until
                FROM (
                    SELECT coalesce(
                        ({_NEXT}), (SELECT date_trunc('month', min(at) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM events)
                    ) AS begin
                ) AS next
            )

            INSERT INTO kept_figures (name, figures, seconds)
            SELECT
                'events ' || to_char(begin AT TIME ZONE 'UTC', 'YYYY-MM'),
                (
                    SELECT coalesce(jsonb_object_agg(type, number), '{{}}')
                    FROM (SELECT type, count(*) AS number FROM events WHERE at >= begin AND at < until GROUP BY type) AS counted
                ),
                0
            FROM month WHERE until < now() - interval '1 day'
            ON CONFLICT DO NOTHING
            """
        )
    )


def count_events(tx: Tx, types: Sequence[str]) -> int:
    """How many events of these types there are."""
    return int(
        tx.value(
            f"""
            SELECT
                (
                    SELECT coalesce(sum((figures ->> type)::bigint), 0)
                    FROM kept_figures CROSS JOIN unnest(%(types)s::text []) AS type WHERE starts_with(name, 'events ')
                ) + (
                    SELECT count(*) FROM events
                    WHERE type = ANY(%(types)s::text []) AND at >= coalesce(({_NEXT}), '-infinity')
                )
            """,
            types=list(types),
        )
    )
