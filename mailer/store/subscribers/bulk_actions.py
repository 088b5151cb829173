"""Bulk actions and their remaining targets. Each function is one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailer.core.db import Row, Tx, json


def add(tx: Tx, kind: str, metadata: Mapping[str, Any], targets: Sequence[str]) -> Row:
    """Add an action with its targets, in order; return its row."""
    row = tx.one(
        """
        WITH made AS (
            INSERT INTO bulk_actions (type, metadata) VALUES (%(type)s, %(metadata)s || '{"done": "0"}'::jsonb) RETURNING *
        ),

        wanted AS (
            INSERT INTO bulk_targets (action_id, position, target)
            SELECT made.id, given.position, given.target
            FROM made, unnest(%(targets)s::text []) WITH ORDINALITY AS given (target, position)
        )

        SELECT * FROM made
        """,
        type=kind,
        metadata=json(dict(metadata)),
        targets=list(targets),
    )
    assert row
    return row


def claim_next(tx: Tx, number: int | None = None) -> Row | None:
    """Lock and return the oldest unfinished action (or the given one) that no worker holds; None if there is none."""
    return tx.one(
        """
        UPDATE bulk_actions SET state = 'in_progress'
        WHERE id = (
            SELECT id FROM bulk_actions
            WHERE state IN ('not_started', 'in_progress') AND id = coalesce(%(number)s, id)
            ORDER BY id LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING *
        """,
        number=number,
    )


def list_targets(tx: Tx, number: int, most: int) -> list[tuple[int, str]]:
    """Return the next targets of an action, with their positions."""
    rows = tx.all(
        "SELECT position, target FROM bulk_targets WHERE action_id = %(id)s ORDER BY position LIMIT %(most)s",
        id=number,
        most=most,
    )
    return [(row["position"], row["target"]) for row in rows]


def advance(tx: Tx, number: int, until: int, done: int) -> None:
    """Remove the targets up to a position, ``done`` of which were changed."""
    tx.run(
        """
        WITH over AS (
            DELETE FROM bulk_targets WHERE action_id = %(id)s AND position <= %(until)s
        )

        UPDATE bulk_actions
        SET metadata = metadata || jsonb_build_object('done', ((metadata ->> 'done')::integer + %(done)s)::text)
        WHERE id = %(id)s
        """,
        id=number,
        until=until,
        done=done,
    )


def finish(tx: Tx, number: int) -> None:
    """Mark an action as finished."""
    tx.run("UPDATE bulk_actions SET state = 'processed', done_at = now() WHERE id = %(id)s", id=number)


def has_work(tx: Tx) -> bool:
    """Return whether any action is unfinished."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM bulk_actions WHERE state IN ('not_started', 'in_progress'))"))
