"""Forward-only migrations: each ``migrations/NNNN_name.sql`` runs once, in order, in its own transaction."""

from __future__ import annotations

from pathlib import Path

from mailer.core.db import Database, Tx
from mailer.core.errors import Refused

FOLDER = Path(__file__).parent.parent / "migrations"
_PRE_RELEASE = (
    "This database has the migrations of a pre-release version: export its subscribers with that version "
    "(`postmerge subscribers export FILE`), then import them into a new database."
)
_LOCK = 0x706D6967  # "pmig": one migrating process at a time


def files() -> list[Path]:
    """List the migration files in order."""
    return sorted(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def run_migrations(database: Database) -> list[str]:
    """Apply what is missing; return the names applied now. Safe to run twice and concurrently. Raises Refused."""
    pending(database)
    return [path.stem for path in files() if _apply(database, path)]


def pending(database: Database) -> list[str]:
    """List the migrations that are not applied. Raises Refused if the database belongs to a pre-release version."""
    with database.transaction() as tx:
        _prepare(tx)
        done = _done(tx)
    names = [path.stem for path in files()]
    if done and names[0] not in done:
        raise Refused(_PRE_RELEASE)
    return [name for name in names if name not in done]


def need_current(database: Database) -> None:
    """Raise Refused if the database is older than this program."""
    if missing := pending(database):
        raise Refused(f"The database lacks {len(missing)} migration(s), first {missing[0]}: run `postmerge migrate`.")


def _prepare(tx: Tx) -> None:
    tx.run("SELECT pg_advisory_xact_lock(%(lock)s)", lock=_LOCK)
    tx.run(
        "CREATE TABLE IF NOT EXISTS schema_migrations ( name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _done(tx: Tx) -> set[str]:
    return {row["name"] for row in tx.all("SELECT name FROM schema_migrations")}


def _apply(database: Database, path: Path) -> bool:
    with database.transaction() as tx:
        tx.run("SELECT pg_advisory_xact_lock(%(lock)s)", lock=_LOCK)
        if path.stem in _done(tx):
            return False
        tx.script(path.read_text(encoding="utf-8"))
        tx.run("INSERT INTO schema_migrations (name) VALUES (%(name)s)", name=path.stem)
    return True
