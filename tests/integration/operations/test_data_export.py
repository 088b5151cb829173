from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.exchange.receipt import read_receipt
from mailer.flows.operations.data_export import export_everything
from mailer.flows.operations.data_import import import_data
from mailer.flows.operations.restored_ledger import accept_restored
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending import receipts
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.fence import advance_fence
from mailer.flows.sending.send_control import resume_send
from mailer.flows.subscribers import erasure
from mailer.store.operations import data_export
from mailer.store.sending import counters
from mailer.store.subscribers import subscribers, suppressions
from mailer.transports.outbox import Outbox
from tests import commands, services
from tests.conftest import ROOT
from tests.factories import add_subscribers, edition, old, settings

ODD = 'a "quote", a \\backslash\\, a\ttab,\r\na line, \x01\x02, \\., «ß» and 🙂'
# A row for each table that the sends of the tests leave empty.
MORE_ROWS = """
    INSERT INTO suppressions (email_normal, reason, detail) VALUES ('elsewhere@example.org', 'complaint', 'spam');
    INSERT INTO lifted_suppressions (email_normal, reason, suppressed_at, lifted_by)
    VALUES ('back@example.org', 'hard bounce', now(), 'operator');
    INSERT INTO segments (name, filters) VALUES ('Fans', '{"predicate": "and"}');
    INSERT INTO notes (body, model_type, model_id) VALUES ('called', 'subscriber', 1);
    INSERT INTO import_runs (file, digest, format, evidence, counts) VALUES ('a.csv', 'd', 'mailchimp', 'asked', '{"new": 1}');
    INSERT INTO imports (file, format, plan, state, run_id) VALUES ('a.csv', 'mailchimp', '{}', 'succeeded', 1);
    INSERT INTO edition_variants (edition_id, name, digest, preheader, html, text, body)
    VALUES (1, 'de', 'd', 'p', 'h', 't', 'b');
    INSERT INTO drafts (key, branch, path, fields, source) VALUES ('draft', 'b', 'p', '{}', 's');
    INSERT INTO delivery_events (send_id, subscriber_id, kind, at) VALUES (1, 1, 'delivery', now());
    INSERT INTO digests (month, subscriber_count) VALUES ('2026-10-01', 4);
    INSERT INTO transactional_emails (kind, subscriber_id, state, message_id) VALUES ('confirmation', 1, 'delivered', 'm');
    INSERT INTO transactional_email_events (email_id, kind, at) VALUES (1, 'delivery', now());
    INSERT INTO reviewers (email, email_normal) VALUES ('Rev@example.org', 'rev@example.org');
    INSERT INTO test_emails (email_normal, source, issue_key, number, digest) VALUES ('rev@example.org', 's', 'first', 1, 'd');
    INSERT INTO scanner_visits (subscriber_id, send_id) VALUES (1, 1);
    INSERT INTO stripe_account (account_id, livemode) VALUES ('acct_1', false);
    INSERT INTO customers (stripe_id, subscriber_id) VALUES ('cus_1', 2);
    INSERT INTO customer_deletions (customer_id, done_at) VALUES ('cus_2', now());
    INSERT INTO subscriptions (stripe_id, customer_id, subscriber_id, status) VALUES ('sub_1', 'cus_1', 2, 'active');
    INSERT INTO charges (stripe_id, amount, currency) VALUES ('ch_1', 500, 'eur');
    INSERT INTO gifts (session_id, subscriber_id, plan, months, amount, currency) VALUES ('cs_1', 3, 'year', 12, 5000, 'eur');
    INSERT INTO grants (subscriber_id, kind, reason) VALUES (3, 'gift', 'a gift');
    INSERT INTO entitlements (subscriber_id, state, premium, until) VALUES (2, 'paying', true, now());
    INSERT INTO sequences (name, trigger, audience, state) VALUES ('welcome', 'confirmed', 'everyone', 'stopped');
    INSERT INTO sequence_steps (sequence_id, key, position, after) VALUES (1, 'hello', 1, '1 day');
    INSERT INTO enrolments (subscriber_id, sequence_id, step_id, due_at) VALUES (1, 1, 1, now());
    INSERT INTO sequence_emails (subscriber_id, step_id) VALUES (1, 1);
    INSERT INTO warmup (first_volume, days, target) VALUES (200, 30, 10000);
    INSERT INTO warmup_days (day, place, volume) VALUES ('2026-11-30', 0, 200);
    INSERT INTO draft_images (name, digest, content) VALUES ('a.png', '\xabcd', '\x1234');
    INSERT INTO desk_acts (operator, role, act) VALUES ('ada', 'owner', 'pause');
"""


@pytest.fixture
def conf(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    return settings(tmp_path, database_url, redis_url, fence=str(tmp_path / "fence"), connections=4, first_slice=100.0)


@pytest.fixture
def empty(postgres_url: str) -> Iterator[Database]:
    with services.cloned(postgres_url, "template0") as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def full(database: Database, conf: Settings) -> Database:
    """Fill every table: a finished send, one erased subscriber, odd texts, events of an older month, payments."""
    add_subscribers(database, 4, tags=("fans", "news"))
    adopt_issues(database, conf, [old()])
    send(database, conf, "first")
    receipts.sign_finished(database, conf)
    with database.transaction() as tx:
        tx.script(MORE_ROWS)
        tx.run(
            "UPDATE subscribers SET metadata = %(odd)s::jsonb, notes = %(text)s WHERE id = 2",
            odd=json.dumps({"text": ODD, "number": 1.50}),
            text=ODD,
        )
        tx.run("INSERT INTO consents (subscriber_id, kind, source, ip) VALUES (2, 'confirmed', 'form', '192.0.2.1')")
        tx.run("INSERT INTO events (type, at) VALUES ('email.sent', '2024-02-29 23:30:00+00')")
        subscribers.unsubscribe(tx, 3)
        suppressions.add(tx, ["subscriber-2@example.org"], "hard bounce")
    erasure.erase_subscriber(database, conf, 4)
    return database


def send(database: Database, conf: Settings, key: str, most: int = 1000) -> None:
    publish(database, conf, [old(), edition(key)], [], Outbox(conf.outbox), Request(allow=["duplicate"], gate=False))
    advance_sends(database, conf)
    with database.transaction() as tx:
        [row] = tx.all("SELECT id FROM sends WHERE issue_key = %(key)s", key=key)
    before = count_emails(conf)
    stopping = lambda: count_emails(conf) - before >= most  # noqa: E731
    deliver_send(database, conf, Outbox(conf.outbox), row["id"], stopping=stopping)
    advance_sends(database, conf)


def count_emails(conf: Settings) -> int:
    return len(list(conf.outbox.glob("*.eml")))


def list_rows(database: Database) -> dict[str, list[str]]:
    with database.transaction() as tx:
        return {
            table: [row["one"] for row in tx.all(f"SELECT row_to_json({table})::text AS one FROM {table} ORDER BY {order}")]
            for table, order in data_export.TABLES.items()
        }


def test_an_export_brings_back_every_row_of_every_table(
    full: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    before = list_rows(full)
    assert [table for table, rows in before.items() if not rows] == []
    export_everything(full, conf, tmp_path / "export")
    there = replace(conf, database_url=empty.url)
    done = import_data(empty, there, tmp_path / "export")
    assert list_rows(empty) == before
    assert done.rows == {table: len(rows) for table, rows in before.items()}
    assert (done.paused, done.set_aside, done.lacks_secret) == ([], 0, False)
    with full.transaction() as tx, empty.transaction() as new:
        assert counters.count_subscribers(new) == counters.count_subscribers(tx)
        assert counters.count_by_tag(new, ["fans"]) == counters.count_by_tag(tx, ["fans"])
        assert new.value("SELECT count(*) FROM webhook_messages") == 0
        assert new.value("SELECT count(*) FROM events_rest") == 0
        assert new.value("INSERT INTO subscribers (email, email_normal) VALUES ('n@x', 'n@x') RETURNING id") == 5


def test_an_import_sends_nothing_until_the_operator_accepts_and_resumes(
    database: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    add_subscribers(database, 6)
    adopt_issues(database, conf, [old()])
    send(database, conf, "first", most=2)
    with database.transaction() as tx:
        tx.run("INSERT INTO transactional_emails (kind, subscriber_id) VALUES ('confirmation', 1)")
    sent = count_emails(conf)
    assert 0 < sent < 6
    export_everything(database, conf, tmp_path / "export")
    there = replace(conf, database_url=empty.url)
    done = import_data(empty, there, tmp_path / "export")
    assert (done.paused, done.set_aside) == ([1], 1)
    deliver_send(empty, there, Outbox(conf.outbox), 1)
    assert advance_fence(empty, there)
    assert count_emails(conf) == sent
    accept_restored(empty, there)
    advance_sends(empty, there)
    deliver_send(empty, there, Outbox(conf.outbox), 1)
    assert count_emails(conf) == sent
    resume_send(empty, "1")
    deliver_send(empty, there, Outbox(conf.outbox), 1)
    assert count_emails(conf) == 6


def test_receipts_are_signed_as_the_server_signs_them(full: Database, conf: Settings, tmp_path: Path) -> None:
    export_everything(full, conf, tmp_path / "export")
    [file] = (tmp_path / "export" / "receipts").iterdir()
    facts = read_receipt(file.read_bytes())
    assert (file.name, facts["issue"], facts["outcomes"]["accepted"]) == ("1.json", "first", 4)


def test_only_the_owner_reads_an_export_and_a_folder_in_use_is_refused(full: Database, conf: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "export"
    export_everything(full, conf, folder)
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert (folder.stat().st_mode & 0o777, modes) == (0o700, {0o600})
    with pytest.raises(BadInput, match="is not empty"):
        export_everything(full, conf, folder)
    assert [one.name for one in folder.parent.iterdir()] == ["export"]


def rehash(folder: Path, name: str, **more: object) -> None:
    """Make the manifest agree with an edited file."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] |= {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(), **more}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_an_incomplete_or_changed_export_and_a_database_in_use_are_refused(
    full: Database, empty: Database, conf: Settings, tmp_path: Path
) -> None:
    folder, there = tmp_path / "export", replace(conf, database_url=empty.url)
    export_everything(full, conf, folder)

    def refuses(reason: str, database: Database = empty) -> None:
        with pytest.raises((Refused, BadInput), match=reason):
            import_data(database, there, folder)

    refuses("in use", full)
    tags, manifest = folder / "tags.jsonl", folder / "manifest.json"
    kept, kept_manifest = tags.read_bytes(), manifest.read_text()
    tags.write_bytes(kept[:-9])
    refuses("tags.jsonl is not what was exported")
    tags.unlink()
    refuses("tags.jsonl is missing")
    tags.write_bytes(kept.splitlines(keepends=True)[0])
    rehash(folder, "tags.jsonl")
    refuses("has 1 rows and its manifest.json says 2")
    tags.write_bytes(kept.replace(b'"id":1', b'"id":"one"'))
    rehash(folder, "tags.jsonl")
    refuses("A row of tags.jsonl does not fit")
    tags.write_bytes(kept)
    manifest.write_text(kept_manifest.replace('"color"', '"colour"'))
    refuses("unknown field 'colour'")
    manifest.write_text(kept_manifest.replace('"tags.jsonl"', '"../tags.jsonl"'))
    refuses("outside of it")
    manifest.write_text(kept_manifest.replace('"0001_', '"9001_', 1))
    refuses("does not know its migration 9001_")
    manifest.write_text(kept_manifest[:200])
    refuses("not a complete export")
    manifest.unlink()
    refuses("not a complete export")
    assert {table for table, rows in list_rows(empty).items() if rows} == set()
    manifest.write_text(kept_manifest)
    import_data(empty, there, folder)
    refuses("in use")


def test_the_commands_move_an_installation(
    full: Database, empty: Database, conf: Settings, tmp_path: Path, redis_url: str
) -> None:
    environ = {"DATABASE_URL": full.url, "REDIS_URL": redis_url, "POSTMERGE_SECRET": conf.secret, "PATH": "/usr/bin:/bin"}
    done = commands.run(tmp_path, environ, "export", "export")
    assert (done.returncode, done.stderr) == (0, "")
    said = re.search(rf"Exported (\d+ rows) in {len(data_export.TABLES) + 1} files to export\.", done.stdout)
    assert said
    done = commands.run(tmp_path, {**environ, "DATABASE_URL": empty.url}, "import-data", "export")
    assert done.returncode == 0, done.stderr
    assert f"Imported {said[1]} of" in done.stdout
    assert "Nothing is sent until you run `postmerge fence accept`" in done.stdout
    done = commands.run(tmp_path, {**environ, "DATABASE_URL": empty.url}, "import-data", "export")
    assert (done.returncode, done.stderr) == (1, "error: This database is in use (tags has rows): import into an empty one.\n")


def test_the_reference_lists_each_field_of_each_file() -> None:
    text = (ROOT / "docs/reference/export.md").read_text(encoding="utf-8")
    schema = (ROOT / "mailer/schema.sql").read_text(encoding="utf-8")
    for table in data_export.TABLES:
        body = re.search(rf"CREATE TABLE {table} \((.*?)\n\)", schema, re.DOTALL)
        assert body
        columns = {line.split()[0].strip('",') for line in body[1].splitlines() if line.strip()} - {"CONSTRAINT"}
        section = text.partition(f"### `{table}.jsonl`\n")[2].partition("\n##")[0]
        rows = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
        documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        assert documented == columns, table


def test_each_table_is_exported_or_said_to_be_left_out() -> None:
    schema = (ROOT / "mailer/schema.sql").read_text(encoding="utf-8")
    tables = set(re.findall(r"^CREATE TABLE (\w+) \(", schema, re.MULTILINE))
    text = (ROOT / "docs/reference/export.md").read_text(encoding="utf-8").partition("## What is left out\n")[2]
    left_out = set(re.findall(r"`(\w+)`", text.partition("\n## ")[0]))
    assert tables - set(data_export.TABLES) - left_out == set()
    assert left_out & set(data_export.TABLES) == set()
