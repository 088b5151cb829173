"""Forward-only migrations: each ``migrations/NNNN_name.sql`` runs once, in order, in its own transaction.

A file that begins with ``-- Outside a transaction`` runs statement by statement, because CREATE INDEX CONCURRENTLY cannot run
in a transaction: it is run again from its start when it was interrupted, so its statements say IF (NOT) EXISTS.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.core.db import Database
from mailer.core.errors import LockTimedOut, Refused

FOLDER = Path(__file__).parent.parent / "migrations"
_PRE_RELEASE = (
    "This database has the migrations of a pre-release version: export its subscribers with that version "
    "(`postmerge subscribers export FILE`), then import them into a new database."
)
_LOCK = 0x706D6967  # "pmig": one migrating process at a time
_POLL_SECONDS = 0.2
_OUTSIDE = "-- Outside a transaction"
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def files() -> list[Path]:
    """List the migration files in order."""
    return sorted(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def run_migrations(database: Database) -> list[str]:
    """Apply what is missing; return the names applied now. Safe to run twice and concurrently.

    Raises Refused if the database belongs to a pre-release version, or if another session keeps a table locked.
    """
    with _only_migrator(database):
        names = pending(database)
        for name in names:
            _apply(database, FOLDER / f"{name}.sql")
    return names


def pending(database: Database) -> list[str]:
    """List the migrations that are not applied. Raises Refused if the database belongs to a pre-release version."""
    with database.transaction() as tx:
        exists = tx.value("SELECT to_regclass('schema_migrations') IS NOT NULL")
        done = {row["name"] for row in tx.all("SELECT name FROM schema_migrations")} if exists else set()
    names = [path.stem for path in files()]
    if done and names[0] not in done:
        raise Refused(_PRE_RELEASE)
    return [name for name in names if name not in done]


def need_current(database: Database) -> None:
    """Raise Refused if the database is older than this program."""
    if missing := pending(database):
        raise Refused(f"The database lacks {len(missing)} migration(s), first {missing[0]}: run `postmerge migrate`.")


@contextmanager
def _only_migrator(database: Database) -> Iterator[None]:
    """Wait until no other process migrates, without an open snapshot: CREATE INDEX CONCURRENTLY waits for each of them."""
    with database.transaction() as tx:  # between statements it has no snapshot; a pooler keeps its session for it
        tx.run("SET LOCAL idle_in_transaction_session_timeout = 0")
        while not tx.value("SELECT pg_try_advisory_xact_lock(%(lock)s)", lock=_LOCK):
            time.sleep(_POLL_SECONDS)
        with database.transaction() as inner:
            inner.run(
                "CREATE TABLE IF NOT EXISTS schema_migrations"
                " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        yield


def _apply(database: Database, path: Path) -> None:
    sql = path.read_text(encoding="utf-8")
    try:
        if sql.startswith(_OUTSIDE):
            _run_statements(database, sql)
        with database.transaction() as tx:
            if not sql.startswith(_OUTSIDE):
                tx.script(sql)
            tx.run("INSERT INTO schema_migrations (name) VALUES (%(name)s)", name=path.stem)
    except LockTimedOut as error:
        raise Refused(_describe_lock(database, path.stem)) from error


def _run_statements(database: Database, sql: str) -> None:
    with database.glance() as tx:
        for row in tx.all("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid"):
            if re.search(rf"\b{re.escape(row['name'])}\b", sql):  # an interrupted CREATE INDEX CONCURRENTLY leaves it
                tx.script(f"DROP INDEX CONCURRENTLY {row['name']}")
        for statement in _COMMENT.sub("", sql).split(";\n"):
            if statement.strip():
                tx.script(statement)


def _describe_lock(database: Database, name: str) -> str:
    """Name the session whose transaction is the oldest of those that hold locks on tables."""
    with database.transaction() as tx:
        found = tx.one("""
            SELECT
                pid, application_name, state, left(query, 80) AS query,
                extract(epoch FROM now() - xact_start)::integer AS seconds
            FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'relation' AND granted)
            ORDER BY xact_start LIMIT 1
        """)
    text = f"Migration {name} waited for a lock in vain and changed nothing."
    if not found:
        return f"{text} The session that held it has ended: run `postmerge migrate` again."
    return (
        f"{text} The oldest transaction that holds locks is that of process {found['pid']}"
        f" ({found['application_name'] or 'without a name'}, {found['state']}, {found['seconds']} s: {found['query']!r})."
        f" Wait for it, or end it with SELECT pg_terminate_backend({found['pid']}), then run `postmerge migrate` again."
    )
