"""Processes record that they run and what they did; `status` says which ones do, and what is due."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

import mailer
from mailer.commands import cli_output, process_overview
from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations.heartbeats import Heartbeat, read_overview
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.sending.send_status import list_send_statuses
from mailer.store.operations import due_work
from tests.factories import add_subscribers, edition, old, settings
from tests.integration.publishing.test_publish import Limits
from tests.processes import eventually, kill, running, start

LONG_KEY = "2026-11-24-" + "a-key-that-is-longer-than-a-line-of-a-terminal-" * 2 + "end"


def kinds(database: Database) -> list[str]:
    return [group.kind for group in read_overview(database).running]


def execute(database: Database, sql: str) -> None:
    with database.transaction() as tx:
        tx.script(sql)


def tally(database: Database, kind: str) -> dict[str, int]:
    with database.transaction() as tx:
        rows = tx.all("SELECT key, sum(number)::int AS number FROM tallies WHERE kind = %(kind)s GROUP BY key", kind=kind)
    return {row["key"]: row["number"] for row in rows}


@pytest.mark.slow
def test_real_processes_are_seen_while_they_run_and_are_gone_when_they_stop(
    database: Database, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    conf = settings(tmp_path, database_url, redis_url)
    killed = start("scheduler", conf, {})
    with running("worker", conf, {}), running("serve", conf, {}, "--port", str(find_free_port()), "--processes", "2"):
        eventually(lambda: kinds(database) == ["scheduler", "serve", "worker"], 30, "all three are seen")
        kill(killed)
        eventually(lambda: [g.number for g in read_overview(database).running if g.kind == "serve"] == [2], 10, "two serve")
        assert {group.version for group in read_overview(database).running} == {mailer.__version__}
    assert kinds(database) == ["scheduler"]  # kill -9 is noticed by its silence only
    execute(database, "UPDATE heartbeats SET seen_at = now() - interval '31 seconds'")
    assert kinds(database) == []


def test_a_process_whose_row_was_deleted_is_seen_again(database: Database) -> None:
    heart = Heartbeat(database, Settings(), "worker")
    heart.beat()
    execute(database, "DELETE FROM heartbeats")
    heart.beat()
    assert kinds(database) == ["worker"]


def test_counts_are_recorded_once_and_are_kept_while_postgres_is_away(database: Database) -> None:
    work_counts.take_counts()
    work_counts.count("emails", "accepted", 3)
    work_counts.count("webhook_attempts", "rejected")
    with pytest.raises(Unavailable):
        Heartbeat(Database("postgresql://nobody@127.0.0.1:1/nothing"), Settings(), "worker").beat()
    work_counts.count("emails", "throttled", 2)
    heart = Heartbeat(database, Settings(), "worker")
    heart.beat()
    heart.beat()
    assert tally(database, "metric") == {"emails accepted": 3, "emails throttled": 2, "webhook_attempts rejected": 1}


def test_only_attempts_that_end_are_progress(database: Database) -> None:
    work_counts.take_counts()
    work_counts.count("emails", "throttled")
    work_counts.count("transactional_emails", "accepted")
    Heartbeat(database, Settings(), "worker").beat()
    with database.transaction() as tx:
        assert [row["kind"] for row in tx.all("SELECT kind FROM work_progress")] == [due_work.TRANSACTIONAL]


def test_events_are_counted_as_they_are_written(database: Database) -> None:
    add_subscribers(database, 3)
    execute(database, "UPDATE subscribers SET state = 'unsubscribed' WHERE id = 1")
    execute(database, "INSERT INTO events (type, facts) VALUES ('subscriber.bounced', '{\"kind\": \"hard bounce\"}')")
    counted = tally(database, "event")
    assert (counted["subscriber.created"], counted["subscriber.unsubscribed"]) == (3, 1)
    assert counted["subscriber.bounced hard bounce"] == 1


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        (due_work.TRANSACTIONAL, "INSERT INTO transactional_emails (kind, subscriber_id, created_at) VALUES ('paid', 1, {at})"),
        (due_work.EVENTS, "INSERT INTO heartbeats (kind, host, version, backlog_since) VALUES ('events', 'x', '1', {at})"),
        (
            due_work.WEBHOOKS,
            "INSERT INTO webhooks (url, event_types, secret) VALUES ('https://x.example', '{{}}', 'x');"
            "INSERT INTO webhook_messages (webhook_id, type, body, due_at) VALUES (1, 'x', '{{}}', {at})",
        ),
        (
            due_work.PAYMENTS,
            "INSERT INTO stripe_events (id, type, object_id, created_at, due_at) VALUES ('1', '', '', now(), {at})",
        ),
        (due_work.BULK_ACTIONS, "INSERT INTO bulk_actions (type, metadata, created_at) VALUES ('x', '{{}}', {at})"),
    ],
)
def test_the_oldest_due_work_of_each_kind_is_found(database: Database, kind: str, sql: str) -> None:
    add_subscribers(database, 1)
    assert read_overview(database).due_since == {}
    execute(database, sql.format(at="now() - interval '7 minutes'"))
    execute(database, sql.format(at="now()").replace("('1', '', ''", "('2', '', ''"))
    age = datetime.now(UTC) - read_overview(database).due_since[kind]
    assert timedelta(minutes=7) <= age < timedelta(minutes=8)


def test_a_send_is_due_until_its_last_email(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    add_subscribers(database, 2)
    adopt_issues(database, conf, [old()])
    publish(database, conf, [old(), edition()], [], Limits(), Request())
    assert due_work.SENDS in read_overview(database).due_since
    execute(database, "UPDATE sends SET state = 'sending', started_at = now()")
    assert due_work.SENDS in read_overview(database).due_since
    execute(database, "UPDATE deliveries SET state = 'accepted'")
    assert read_overview(database).due_since == {}


def test_status_begins_with_the_processes_and_never_cuts_a_key(database: Database, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    add_subscribers(database, 2)
    adopt_issues(database, conf, [old()])
    publish(database, conf, [old(), edition(LONG_KEY)], [], Limits(), Request())
    Heartbeat(database, Settings(), "worker").beat()
    execute(database, "UPDATE sends SET due_at = now() - interval '3 hours'")
    execute(
        database,
        "INSERT INTO heartbeats (kind, host, version, seen_at) VALUES ('events', 'x', '1', now() - interval '4 minutes')",
    )
    written = io.StringIO()
    console = Console(file=written, width=80)
    process_overview.show(console, read_overview(database))
    cli_output.status(console, list_send_statuses(database))
    lines = written.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["worker", "serve", "scheduler", "events", "due"]
    assert "not running, never seen" in lines[1]
    assert "not running, last seen 4 min ago" in lines[3]
    assert lines[4] == "due        sends, the oldest for 3 h"
    assert f"Send 1  {LONG_KEY}  holding" in lines
    assert all(len(line) <= 80 for line in lines if LONG_KEY not in line)
