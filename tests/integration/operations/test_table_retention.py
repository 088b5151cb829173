"""Each table has a retention rule, and the rules delete what is old and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.flows.operations.table_pruning import TablePruning, prune_tables
from mailer.store.operations import table_retention
from mailer.store.operations.table_retention import RULES
from tests import factories

ROWS = {
    "bulk_actions": "INSERT INTO bulk_actions (type, metadata, state, done_at) VALUES ('x', '{{}}', '{state}', {at})",
    "draft_images": "INSERT INTO draft_images (name, digest, content, created_at)"
    " VALUES ('{number}', sha256('{number}'), '', {at})",
    "email_domains": "INSERT INTO email_domains (domain, accepts_email, asked_at) VALUES ('x{number}', true, {at})",
    "exports": "INSERT INTO exports (collections, format, created_at) VALUES ('{{}}', 'csv', {at})",
    "notices": "INSERT INTO notices (text, created_at) VALUES ('x', {at})",
    "stripe_events": "INSERT INTO stripe_events (id, type, object_id, created_at, done_at)"
    " VALUES ('{number}', '', '', now(), {at})",
    "unknown_events": "INSERT INTO unknown_events (day, kind, number) VALUES ({at}, 'x', 1)",
    "webhook_messages": "INSERT INTO webhook_messages (webhook_id, type, body, state, settled_at)"
    " VALUES (1, 'x', '{{}}', '{state}', {at})",
}
DONE = {"bulk_actions": "processed", "webhook_messages": "delivered"}


def count(database: Database, table: str) -> int:
    with database.transaction() as tx:
        return int(tx.value(f"SELECT count(*) FROM {table}"))


def insert(database: Database, table: str, days: int, number: int) -> None:
    at, state = f"now() - interval '{days} days'", DONE.get(table, "")
    with database.transaction() as tx:
        tx.script(ROWS[table].format(at=at, state=state, number=number))


@pytest.fixture
def webhook(database: Database) -> None:
    with database.transaction() as tx:
        tx.script("INSERT INTO webhooks (url, event_types, secret) VALUES ('https://x.example', '{}', 'x')")


def test_each_table_has_a_rule(database: Database) -> None:
    with database.transaction() as tx:
        rows = tx.all(
            "SELECT relname::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
    tables = {row["name"] for row in rows if not row["name"].startswith("events_2")}
    assert tables - set(RULES) == set(), "a new table needs a rule in mailer/store/operations/table_retention.py"


def test_every_rule_that_deletes_is_tried_here() -> None:
    assert set(ROWS) == {table for table, rule in RULES.items() if rule.old}


@pytest.mark.parametrize("table", ROWS)
def test_old_rows_are_deleted_and_young_ones_stay(database: Database, webhook: None, table: str) -> None:
    for number, days in enumerate((401, 402, 1)):
        insert(database, table, days, number)
    assert prune_tables(database) == {table: 2}
    assert count(database, table) == 1


def test_work_that_is_not_done_stays_however_old_it_is(database: Database, webhook: None) -> None:
    with database.transaction() as tx:
        tx.script(
            "INSERT INTO bulk_actions (type, metadata, created_at) VALUES ('x', '{}', now() - interval '900 days');"
            "INSERT INTO webhook_messages (webhook_id, type, body, due_at) VALUES (1, 'x', '{}', now() - interval '900 days');"
            "INSERT INTO stripe_events (id, type, object_id, created_at) VALUES ('1', '', '', now() - interval '900 days')"
        )
    assert prune_tables(database) == {}


def test_many_rows_go_in_short_transactions_and_once_an_hour(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_retention, "MAX_PRUNED_ROWS", 3)
    for number in range(8):
        insert(database, "notices", 91, number)
    pruning = TablePruning(database, factories.settings(tmp_path))
    pruning.run_due()
    assert count(database, "notices") == 0
    insert(database, "notices", 91, 9)
    pruning.run_due()
    assert count(database, "notices") == 1
