"""The API's smaller records: segments, notes, webhook settings, requests. Each function is one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mailer.core.db import PageRange, Row, Tx, json
from mailer.store.operations import event_sums

_TABLES = {"segments", "notes", "webhooks", "bulk_actions", "imports", "exports"}


def insert(tx: Tx, table: str, values: Mapping[str, Any]) -> Row:
    """Insert and return a row. Table and column names come from the caller's code, never from a request."""
    assert table in _TABLES
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    row = tx.one(f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING *", **_wrapped(values))
    assert row
    return row


def get(tx: Tx, table: str, number: int) -> Row | None:
    """Return one row, or None."""
    assert table in _TABLES
    return tx.one(f"SELECT * FROM {table} WHERE id = %(id)s", id=number)


def update(tx: Tx, table: str, number: int, values: Mapping[str, Any]) -> Row | None:
    """Update and return a row; None if there is none."""
    assert table in _TABLES
    if not values:
        return get(tx, table, number)
    sets = ", ".join(f"{name} = %({name})s" for name in values)
    return tx.one(f"UPDATE {table} SET {sets} WHERE id = %(id)s RETURNING *", id=number, **_wrapped(values))


def delete(tx: Tx, table: str, number: int) -> bool:
    """Delete a row; return whether there was one."""
    assert table in _TABLES
    return bool(tx.run(f"DELETE FROM {table} WHERE id = %(id)s", id=number))


def claim_resource(tx: Tx, path: str, seconds: int) -> datetime | None:
    """Claim a resource that nobody else has claimed, for so long; return until when, or None."""
    found = tx.value(
        """
        INSERT INTO resource_claims (path, claimed_until)
        VALUES (%(path)s, clock_timestamp() + make_interval(secs => %(seconds)s))
        ON CONFLICT (path) DO UPDATE SET claimed_until = excluded.claimed_until
        WHERE resource_claims.claimed_until < clock_timestamp()
        RETURNING claimed_until
        """,
        path=path,
        seconds=seconds,
    )
    return found if isinstance(found, datetime) else None


def release_resource(tx: Tx, path: str, claim: datetime) -> None:
    """End a claim, and those that have expired."""
    tx.run(
        """
        DELETE FROM resource_claims
        WHERE (path = %(path)s AND claimed_until = %(claim)s) OR claimed_until < clock_timestamp() - interval '1 hour'
        """,
        path=path,
        claim=claim,
    )


def list_page(tx: Tx, table: str, page: PageRange, where: Mapping[str, Any]) -> tuple[list[Row], int]:
    """Return a page of the rows with these values, newest first, and the total number; ``page.after`` is an id."""
    assert table in _TABLES
    condition = " AND ".join(["true", *(f"{name} = %({name})s" for name in where)])
    behind = "AND id < %(after)s" if page.after is not None else ""
    rows = tx.all(
        f"SELECT * FROM {table} WHERE {condition} {behind} ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s",
        **vars(page),
        **where,
    )
    return rows, int(tx.value(f"SELECT count(*) FROM {table} WHERE {condition}", **where))


def list_events(
    tx: Tx, where: Mapping[str, Any], page: PageRange, newest_first: bool, counted: bool = True
) -> tuple[list[Row], int]:
    """Return events with these values (a list means any of them), and the total number (0 unless ``counted``).

    ``page.after`` is an id.
    """
    condition = " AND ".join(
        [
            "true",
            *(
                f"{name} = ANY(%({name})s)" if isinstance(value, list) else f"{name} = %({name})s"
                for name, value in where.items()
            ),
        ]
    )
    behind = f"AND id {'<' if newest_first else '>'} %(after)s" if page.after is not None else ""
    rows = tx.all(
        f"""
        SELECT events.*, (SELECT issue_key FROM sends WHERE sends.id = events.send_id) AS issue_key
        FROM events WHERE {condition} {behind}
        ORDER BY id {"DESC" if newest_first else "ASC"} LIMIT %(limit)s OFFSET %(offset)s
        """,
        **vars(page),
        **where,
    )
    if not counted:
        return rows, 0
    if where.keys() == {"type"}:
        return rows, event_sums.count_events(tx, where["type"])
    return rows, int(tx.value(f"SELECT count(*) FROM events WHERE {condition}", **where))


def add_requests(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store many requests at once, and when each key was last used."""
    tx.run(
        """
        WITH given AS (
            SELECT * FROM jsonb_to_recordset(%(rows)s)
                AS one (at timestamptz, key_id bigint, method text, path text, status integer, source text, ip inet)
        ),

        used AS (
            UPDATE api_keys SET last_used_at = last.at
            FROM (SELECT key_id, max(at) AS at FROM given WHERE key_id IS NOT NULL GROUP BY key_id) AS last
            WHERE api_keys.id = last.key_id
        )

        INSERT INTO api_requests (at, key_id, method, path, status, source, ip)
        SELECT at, key_id, method, path, status, source, ip FROM given
        """,
        rows=json(list(rows)),
    )


def list_requests(tx: Tx, where: Mapping[str, Any], limit: int, before: int | None) -> list[Row]:
    """Return requests, newest first; ``since`` and ``until`` bound their time."""
    names = {"key_id": "key_id", "method": "method", "path": "path", "status": "status", "source": "source"}
    condition = " AND ".join(f"api_requests.{names[name]} = ANY(%({name})s)" for name in where if name in names) or "true"
    return tx.all(
        f"""
        SELECT api_requests.*, host(ip) AS address, api_keys.name AS key_name
        FROM api_requests LEFT JOIN api_keys ON api_keys.id = key_id
        WHERE {condition}
            AND (%(before)s IS NULL OR api_requests.id < %(before)s)
            AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
            AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
        ORDER BY api_requests.id DESC LIMIT %(limit)s
        """,
        **{"since": None, "until": None, **where},
        limit=limit,
        before=before,
    )


def get_request(tx: Tx, number: int) -> Row | None:
    """Return one request, or None."""
    return tx.one(
        """
        SELECT api_requests.*, host(ip) AS address, api_keys.name AS key_name
        FROM api_requests LEFT JOIN api_keys ON api_keys.id = key_id WHERE api_requests.id = %(id)s
        """,
        id=number,
    )


def drop_old_requests(tx: Tx) -> int:
    """Delete requests older than 90 days; return how many."""
    return tx.run("DELETE FROM api_requests WHERE at < now() - interval '90 days'")


def create_month_partitions(tx: Tx) -> None:
    """Create the partitions of events for the coming months."""
    tx.run("SELECT make_events_months(3)")


def _wrapped(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json(value) if isinstance(value, dict) else value for name, value in values.items()}
