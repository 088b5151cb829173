"""Precomputed counts: sums over the few rows of ``tallies``, which triggers maintain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailer.core.db import Tx

_MAX_SKIPPED_ROWS = 2048  # from the beginning of a block
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


def list_blocks(tx: Tx) -> list[tuple[int, int]]:
    """Return the blocks of ids and how many subscribers each has, oldest first."""
    rows = tx.often_all(
        "SELECT key::bigint AS block, sum(number)::bigint AS number FROM tallies WHERE kind = 'block' GROUP BY 1 ORDER BY 1"
    )
    return [(row["block"], row["number"]) for row in rows]


def find_in_block(tx: Tx, offset: int, block: int, newest_first: bool) -> tuple[int, int | None]:
    """How many subscribers there are, and the id of the one at ``offset`` (from 0, ordered by id).

    Reads the tallies once, then rows from the beginning of the block: None if the offset is before it or far behind it.
    """
    order, sign, beyond, first = ("DESC", "<=", ">", 1023) if newest_first else ("ASC", ">=", "<", 0)
    row = tx.often(
        f"""
        WITH counted AS MATERIALIZED (
            SELECT
                coalesce(sum(number), 0)::bigint AS number,
                %(offset)s::bigint
                - coalesce(sum(number) FILTER (WHERE key::bigint {beyond} %(block)s::bigint), 0)::bigint AS skipped
            FROM tallies WHERE kind = 'block'
        )

        SELECT number, (
            SELECT id FROM subscribers
            WHERE erased_at IS NULL AND id {sign} %(first)s::bigint
                AND (SELECT skipped BETWEEN 0 AND {_MAX_SKIPPED_ROWS} FROM counted)
            ORDER BY id {order}
            LIMIT 1 OFFSET (SELECT greatest(skipped, 0) FROM counted)
        ) AS id
        FROM counted
        """,
        offset=offset,
        block=block,
        first=block * 1024 + first,
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
