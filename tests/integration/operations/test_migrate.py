from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest

from mailer.core import migrate
from mailer.core.db import Database
from mailer.core.errors import Refused, Unavailable
from mailer.core.migrate import FOLDER, files, need_current, pending, run_migrations
from tests import schema


def test_migrating_twice_applies_nothing_the_second_time(database: Database) -> None:
    assert run_migrations(database) == []
    assert pending(database) == []


def test_an_unreachable_database_is_one_sentence() -> None:
    with pytest.raises(Unavailable, match=r"Postgres cannot be reached .* check that it runs"):
        run_migrations(Database("postgresql://nobody@127.0.0.1:1/none"))


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [int(path.name[:4]) for path in files()] == list(range(1, len(files()) + 1))
    assert files() == sorted(FOLDER.glob("*.sql"))


@pytest.mark.parametrize("step", [run_migrations, pending, need_current])
def test_a_database_of_a_pre_release_version_is_refused_and_stays_as_it_is(
    database: Database, step: Callable[[Database], object]
) -> None:
    old = ["0001_spine", "0002_api_keys"]
    with database.transaction() as tx:
        tx.run("DELETE FROM schema_migrations")
        tx.run("INSERT INTO schema_migrations (name) SELECT unnest(%(names)s)", names=old)
    with pytest.raises(Refused, match=r"pre-release version: export .*`postmerge subscribers export FILE`.* new database"):
        step(database)
    with database.transaction() as tx:
        assert [row["name"] for row in tx.all("SELECT name FROM schema_migrations ORDER BY name")] == old


def test_a_database_of_a_newer_version_needs_no_migration(database: Database) -> None:
    with database.transaction() as tx:
        tx.run("INSERT INTO schema_migrations (name) VALUES ('9999_later')")
    assert run_migrations(database) == []


def test_schema_sql_is_what_the_migrations_make(database_url: str) -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.describe_schema(database_url), "run `make schema`"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Migrations of the test: the released ones, which are applied, and whatever it adds."""
    monkeypatch.setattr(migrate, "FOLDER", tmp_path)
    for path in FOLDER.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


INDEX = """-- Outside a transaction: a comment; with a semicolon
CREATE INDEX CONCURRENTLY IF NOT EXISTS later_by_email ON subscribers (email);
DROP INDEX CONCURRENTLY IF EXISTS never_was;
"""


def test_an_index_is_built_while_others_write(database: Database, folder: Path) -> None:
    (folder / "9001_index.sql").write_text(INDEX)
    assert run_migrations(database) == ["9001_index"]
    with database.transaction() as tx:
        assert tx.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'later_by_email'::regclass")
    assert run_migrations(database) == []


def test_an_index_that_was_interrupted_is_built_again(database: Database, folder: Path) -> None:
    with database.transaction() as tx:
        tx.run("INSERT INTO subscribers (email, email_normal) VALUES ('a@example.org', 'a'), ('a@example.org', 'b')")
    with database.glance() as tx, pytest.raises(psycopg2.errors.UniqueViolation):
        tx.script("CREATE UNIQUE INDEX CONCURRENTLY later_by_email ON subscribers (email)")
    (folder / "9001_index.sql").write_text(INDEX)
    assert run_migrations(database) == ["9001_index"]
    with database.transaction() as tx:
        assert tx.value("SELECT indisvalid AND NOT indisunique FROM pg_index WHERE indexrelid = 'later_by_email'::regclass")


def test_of_processes_that_migrate_at_once_one_applies_each_migration(database: Database, folder: Path) -> None:
    (folder / "9001_table.sql").write_text("CREATE TABLE later (id bigint);")
    (folder / "9002_index.sql").write_text(INDEX)
    with ThreadPoolExecutor(4) as pool:
        done = [result.result(30) for result in [pool.submit(run_migrations, Database(database.url)) for _ in range(4)]]
    assert sorted(done) == [[], [], [], ["9001_table", "9002_index"]]


def test_a_migration_that_waits_for_a_lock_in_vain_names_the_session_that_holds_it(database: Database, folder: Path) -> None:
    (folder / "9001_column.sql").write_text(
        "SET LOCAL lock_timeout = '100ms';\nALTER TABLE subscribers ADD COLUMN later bigint;\n"
    )
    with Database(database.url, name="an old report").transaction() as holder:
        pid = holder.value("SELECT pg_backend_pid() FROM (SELECT count(*) FROM subscribers) AS counted")
        with pytest.raises(
            Refused, match=rf"9001_column waited for a lock .* process {pid} \(an old report, idle in transaction"
        ):
            run_migrations(database)
    assert run_migrations(database) == ["9001_column"]
