from __future__ import annotations

from collections.abc import Callable

import pytest

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
