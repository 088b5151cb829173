"""Counts that need no counting: sums over the small rows that triggers write. See migration 0015."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.db import Tx

_ENOUGH = 500  # rows above what is needed before they are summed up


def readers(tx: Tx) -> int:
    """How many subscribers there are in any state, without those who were erased."""
    return int(tx.value("SELECT coalesce(sum(number), 0) FROM tallies WHERE kind = 'block'"))


def tagged(tx: Tx, name: str) -> int:
    """How many subscribers have the tag."""
    return int(tx.value("SELECT coalesce(sum(number), 0) FROM tallies WHERE kind = 'tag' AND key = %(name)s", name=name))


def of_tags(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """How many subscribers have each of these tags; one that is not there is left out."""
    rows = tx.often_all(
        """
        SELECT name, (SELECT coalesce(sum(number), 0) FROM tallies WHERE kind = 'tag' AND key = name)::bigint AS number
        FROM tags WHERE name = ANY(%(names)s::text [])
        """,
        names=list(names),
    )
    return {row["name"]: row["number"] for row in rows}


def place(tx: Tx, offset: int, newest_first: bool) -> tuple[int, int]:
    """Where the reader at ``offset`` (from 0, by id) is: the first id to look at, and how many to pass from there.

    Reads at most one block of ids beyond, however deep the offset is.
    """
    order = "DESC" if newest_first else "ASC"
    row = tx.one(
        f"""
        WITH blocks AS (
            SELECT key::bigint AS block, sum(number) AS number FROM tallies WHERE kind = 'block' GROUP BY 1
        ),

        running AS (SELECT block, number, sum(number) OVER (ORDER BY block {order}) - number AS before FROM blocks)

        SELECT block, before::bigint FROM running
        WHERE before <= %(offset)s AND number > 0
        ORDER BY before DESC, block {"ASC" if newest_first else "DESC"}
        LIMIT 1
        """,
        offset=offset,
    )
    if row is None:
        return 0, offset
    block = int(row["block"])
    first = (block + 1) * 1024 - 1 if newest_first else block * 1024
    return first, offset - int(row["before"])


def compact(tx: Tx) -> int:
    """Sum the rows of each key up, when there are many and nobody else does it; how many rows are gone."""
    needless = tx.value("SELECT count(*) - count(DISTINCT (kind, key)) FROM tallies")
    if needless < _ENOUGH or not tx.value("SELECT pg_try_advisory_xact_lock(hashtext('postmerge.tallies'))"):
        return 0
    tx.run(
        """
        WITH gone AS (DELETE FROM tallies RETURNING kind, key, number)

        INSERT INTO tallies (kind, key, number)
        SELECT kind, key, sum(number) FROM gone GROUP BY kind, key HAVING sum(number) <> 0
        """
    )
    return int(needless)
