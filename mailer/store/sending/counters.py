"""Precomputed counts: sums over the few rows of ``tallies``, which triggers maintain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailer.core.db import Tx

SPAN_BLOCKS = 32  # blocks of ids in a span; a search picks the span first, then the block
_MAX_EXTRA_ROWS = 500  # redundant rows that are tolerated before ``compact`` sums them up


def count_subscribers(tx: Tx) -> int:
    """How many subscribers there are in any state, without erased ones."""
    row = tx.often("SELECT coalesce(sum(number), 0) AS number FROM tallies WHERE kind = 'block'")
    return int(row["number"]) if row else 0


def count_tagged(tx: Tx, name: str) -> int:
    """How many subscribers have the tag."""
    return int(tx.value("SELECT coalesce(sum(number), 0) FROM tallies WHERE kind = 'tag' AND key = %(name)s", name=name))


def count_by_tag(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """How many subscribers have each of these tags; tags that do not exist are omitted."""
    rows = tx.often_all(
        """
        SELECT name, (SELECT coalesce(sum(number), 0) FROM tallies WHERE kind = 'tag' AND key = name)::bigint AS number
        FROM tags WHERE name = ANY(%(names)s::text [])
        """,
        names=list(names),
    )
    return {row["name"]: row["number"] for row in rows}


def find_block(tx: Tx, offset: int, newest_first: bool) -> tuple[int, int | None]:
    """How many subscribers there are, and the id of the one at ``offset`` (from 0, ordered by id), or None beyond the end.

    Reads at most one block of ids besides the tallies, however large the offset is.
    """
    order, sign, start = ("DESC", "<=", "block * 1024 + 1023") if newest_first else ("ASC", ">=", "block * 1024")
    row = tx.often(
        f"""
        WITH spans AS (
            SELECT key::bigint / {SPAN_BLOCKS} AS span, sum(number)::bigint AS number
            FROM tallies
            WHERE kind = 'block'
            GROUP BY 1
        ),

        running_spans AS (SELECT span, number, sum(number) OVER (ORDER BY span {order}) - number AS before FROM spans),

        there AS (
            SELECT span, before FROM running_spans
            WHERE before <= %(offset)s::bigint AND number > 0
            ORDER BY before DESC
            LIMIT 1
        ),

        blocks AS (
            SELECT key::bigint AS block, sum(number)::bigint AS number FROM tallies
            WHERE kind = 'block' AND key::bigint / {SPAN_BLOCKS} = (SELECT span FROM there)
            GROUP BY 1
        ),

        running AS (
            SELECT block, number, (SELECT before FROM there) + sum(number) OVER (ORDER BY block {order}) - number AS before
            FROM blocks
        ),

        here AS (
            SELECT {start} AS start, before FROM running
            WHERE before <= %(offset)s::bigint AND number > 0
            ORDER BY before DESC
            LIMIT 1
        )

        SELECT
            (SELECT coalesce(sum(number), 0)::bigint FROM spans) AS number,
            (
                SELECT found.id FROM here CROSS JOIN LATERAL (
                    SELECT id FROM subscribers
                    WHERE erased_at IS NULL AND id {sign} here.start
                    ORDER BY id {order} LIMIT 1 OFFSET %(offset)s::bigint - here.before
                ) AS found
            ) AS id
        """,
        offset=offset,
    )
    return (row["number"], row["id"]) if row else (0, None)


def add_counts(tx: Tx, counts: Mapping[str, int]) -> None:
    """Add to the counters of metrics, of kind ``metric``."""
    if counts:
        tx.run(
            """
            INSERT INTO tallies (kind, key, number)
            SELECT 'metric', key, number FROM unnest(%(keys)s::text [], %(numbers)s::bigint []) AS added (key, number)
            """,
            keys=list(counts),
            numbers=list(counts.values()),
        )


def set_gauges(tx: Tx, gauges: Mapping[str, int]) -> None:
    """Replace numbers of metrics, of kind ``gauge``; a lock lets one process at a time do it."""
    if gauges:
        tx.value("SELECT pg_advisory_xact_lock(hashtext('postmerge.gauges'))")
        tx.run("DELETE FROM tallies WHERE kind = 'gauge' AND key = ANY(%(keys)s::text [])", keys=list(gauges))
        tx.run(
            "INSERT INTO tallies (kind, key, number) SELECT 'gauge', * FROM unnest(%(keys)s::text [], %(numbers)s::bigint [])",
            keys=list(gauges),
            numbers=list(gauges.values()),
        )


def compact(tx: Tx) -> int:
    """Sum up the rows of each key when there are many and no other process does it; returns how many rows were removed."""
    needless = tx.value("SELECT count(*) - count(DISTINCT (kind, key)) FROM tallies")
    if needless < _MAX_EXTRA_ROWS or not tx.value("SELECT pg_try_advisory_xact_lock(hashtext('postmerge.tallies'))"):
        return 0
    tx.run(
        """
        WITH gone AS (DELETE FROM tallies RETURNING kind, key, number)

        INSERT INTO tallies (kind, key, number)
        SELECT kind, key, sum(number) FROM gone GROUP BY kind, key HAVING sum(number) <> 0
        """
    )
    return int(needless)
