"""A database for one bench."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.core.db import Database
from mailer.core.migrate import run_migrations
from tests import services


@contextmanager
def fresh_database(name: str) -> Iterator[tuple[Database, Path]]:
    """A migrated database on a durable Postgres with its default settings, and a folder; both are gone afterwards."""
    with services.scratch(name) as folder, services.postgres(folder, durable=True) as url:
        services.run_outside_transaction(url, "CREATE DATABASE bench")
        database = Database(services.on_database(url, "bench"))
        run_migrations(database)
        yield database, folder
        database.close()
