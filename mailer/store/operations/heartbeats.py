"""Heartbeats of processes, and when work of each kind last moved."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one kind, host and version that were seen lately."""

    kind: str
    host: str
    version: str
    number: int
    started_at: datetime  # of the one that runs longest


def add(tx: Tx, kind: str, host: str, version: str) -> int:
    """Add a process that starts now; return its id. Processes that were last seen over a week ago are forgotten."""
    tx.run("DELETE FROM heartbeats WHERE seen_at < now() - interval '7 days'")
    return int(
        tx.value(
            "INSERT INTO heartbeats (kind, host, version) VALUES (%(kind)s, %(host)s, %(version)s) RETURNING id",
            kind=kind,
            host=host,
            version=version,
        )
    )


def beat(tx: Tx, process_id: int, backlog_since: datetime | None = None) -> bool:
    """Record that the process is alive; return whether it is known."""
    return bool(
        tx.run(
            "UPDATE heartbeats SET seen_at = now(), backlog_since = %(backlog)s WHERE id = %(id)s",
            id=process_id,
            backlog=backlog_since,
        )
    )


def mark_stopped(tx: Tx, process_id: int) -> None:
    """Record that the process ended in order."""
    tx.run("UPDATE heartbeats SET stopped_at = now() WHERE id = %(id)s", id=process_id)


def list_running(tx: Tx, silence: timedelta) -> list[ProcessGroup]:
    """List the processes that were seen within ``silence`` and did not stop."""
    rows = tx.all(
        """
        SELECT kind, host, version, count(*)::int AS number, min(started_at) AS started_at
        FROM heartbeats
        WHERE stopped_at IS NULL AND seen_at > now() - %(silence)s
        GROUP BY kind, host, version
        ORDER BY kind, host, version
        """,
        silence=silence,
    )
    return each(rows, ProcessGroup)


def list_last_seen(tx: Tx) -> dict[str, datetime]:
    """Return when a process of each kind was last seen, also one that stopped; kinds that never ran are omitted."""
    rows = tx.all("SELECT kind, max(coalesce(stopped_at, seen_at)) AS seen_at FROM heartbeats GROUP BY kind")
    return {row["kind"]: row["seen_at"] for row in rows}


def list_moved(tx: Tx) -> dict[str, datetime]:
    """Return when work of each kind last moved; kinds that never did are omitted."""
    return {row["kind"]: row["moved_at"] for row in tx.all("SELECT kind, moved_at FROM work_progress")}


def note_moved(tx: Tx, kinds: Collection[str]) -> None:
    """Record that work of these kinds moved just now."""
    if kinds:
        tx.run(
            """
            INSERT INTO work_progress (kind, moved_at) SELECT unnest(%(kinds)s::text []), now() ORDER BY 1
            ON CONFLICT (kind) DO UPDATE SET moved_at = excluded.moved_at
            """,
            kinds=sorted(kinds),
        )
