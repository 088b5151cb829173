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
    month = tx.value(
        f"""
        SELECT begin FROM (
            SELECT coalesce(
                ({_NEXT}), (SELECT date_trunc('month', min(at) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM events)
            ) AS begin
        ) AS next
        WHERE begin + interval '1 month' < now() - interval '1 day'
        """
    )
    return month is not None and bool(
        tx.run(  # the month is a constant here, so that only its partition is read
            """
            INSERT INTO kept_figures (name, figures, seconds)
            SELECT
                'events ' || to_char(%(month)s::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM'),
                coalesce(jsonb_object_agg(type, number), '{}'), 0
            FROM (
                SELECT type, count(*) AS number FROM events
                WHERE at >= %(month)s::timestamptz AND at < %(month)s::timestamptz + interval '1 month' GROUP BY type
            ) AS counted
            ON CONFLICT DO NOTHING
            """,
            month=month,
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
