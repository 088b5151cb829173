"""The operator gets a notice of a standstill within a minute, and one when it is over; pings come only while there is none."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import operator_notices
from mailer.flows.operations.heartbeats import BEAT_SECONDS, Heartbeat
from mailer.flows.operations.operator_notices import POST_SECONDS, Notifier, post_notices
from mailer.flows.operations.standstills import check_standstills
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.store.operations import notices
from tests.factories import add_subscribers, edition, old, settings
from tests.integration.publishing.test_publish import Limits
from tests.pages import Page, web
from tests.processes import eventually, kill, running, start, stop

__all__ = ["web"]

ALL = ("worker", "scheduler")


def execute(database: Database, sql: str) -> None:
    with database.transaction() as tx:
        tx.script(sql)


def see(database: Database, *kinds: str) -> None:
    """Let a process of each kind be seen just now."""
    for kind in kinds:
        with database.transaction() as tx:
            if not tx.run("UPDATE heartbeats SET seen_at = now() WHERE kind = %(kind)s", kind=kind):
                tx.run("INSERT INTO heartbeats (kind, host, version) VALUES (%(kind)s, 'x', '1')", kind=kind)


def pass_time(database: Database, seconds: int) -> None:
    """Let everything have happened so much longer ago."""
    for table, columns in {
        "heartbeats": ("started_at", "seen_at", "stopped_at", "backlog_since"),
        "standstills": ("since", "seen_at"),
        "work_progress": ("moved_at",),
        "queue_samples": ("at", "due_since"),
        "transactional_emails": ("created_at",),
        "bulk_actions": ("created_at",),
        "sends": ("due_at", "started_at", "finished_at"),
        "deliveries": ("settled_at",),
    }.items():
        changes = ", ".join(f"{column} = {column} - interval '{seconds} seconds'" for column in columns)
        execute(database, f"UPDATE {table} SET {changes}")


def list_told(database: Database) -> list[str]:
    with database.transaction() as tx:
        return [row["text"] for row in tx.all("SELECT text FROM notices ORDER BY id")]


def look(database: Database, conf: Settings | None = None) -> list[str]:
    """Look for standstills; return the notices that this adds."""
    before = len(list_told(database))
    check_standstills(database, conf or Settings())
    return list_told(database)[before:]


@pytest.mark.parametrize("kind", ALL)
def test_a_process_that_died_is_told_once_and_once_when_it_is_back(database: Database, kind: str) -> None:
    see(database, *ALL)
    assert look(database) == []
    pass_time(database, 31)
    see(database, *(other for other in ALL if other != kind))
    [text] = look(database)
    assert f"`postmerge {kind}`" in text
    pass_time(database, 10)
    assert look(database) == []
    see(database, *ALL)
    assert look(database) == []  # not before it lasts
    pass_time(database, 26)
    see(database, *ALL)
    assert look(database) == [f"This is over: {text}"]
    pass_time(database, 26)
    see(database, *ALL)
    assert look(database) == []


def test_a_restart_is_not_told(database: Database) -> None:
    see(database, *ALL)
    execute(database, "UPDATE heartbeats SET stopped_at = now() WHERE kind = 'worker'")
    pass_time(database, 20)
    assert look(database) == []


def test_after_a_reboot_processes_have_time_to_start(database: Database) -> None:
    see(database, *ALL)
    pass_time(database, 3600)
    execute(database, "INSERT INTO heartbeats (kind, host, version) VALUES ('serve', 'x', '1')")
    assert look(database) == []
    for seconds, told in ((20, 0), (11, 2)):
        pass_time(database, seconds)
        see(database, "serve")
        assert len(look(database)) == told


def test_a_worker_that_never_ran_is_missed_and_optional_processes_are_not(database: Database) -> None:
    see(database, "scheduler")
    pass_time(database, 29)
    assert look(database) == []
    pass_time(database, 29)
    see(database, "scheduler")
    assert ["`postmerge worker`" in text for text in look(database)] == [True]


@pytest.mark.parametrize("kind", ["serve", "events"])
def test_an_optional_process_that_ran_is_missed(database: Database, kind: str) -> None:
    see(database, kind, *ALL)
    pass_time(database, 40)
    see(database, *ALL)
    assert [f"`postmerge {kind}`" in text for text in look(database)] == [True]


@pytest.fixture
def send(database: Database, tmp_path: Path) -> int:
    """A send that has begun, while all processes run."""
    conf = settings(tmp_path)
    add_subscribers(database, 3)
    adopt_issues(database, conf, [old()])
    [send_id] = publish(database, conf, [old(), edition()], [], Limits(), Request()).send_ids
    execute(database, "UPDATE sends SET state = 'sending', started_at = now()")
    see(database, *ALL)
    return send_id


def test_a_send_that_waits_is_told_with_its_reason_but_not_when_it_waits_for_a_moment(database: Database, send: int) -> None:
    execute(database, f"UPDATE sends SET waiting_reason = 'the fence disagrees' WHERE id = {send}")
    assert look(database) == []
    pass_time(database, 16)
    assert look(database) == [f"Send {send} of {edition().key} is waiting: the fence disagrees"]
    execute(database, "UPDATE sends SET waiting_reason = ''")
    pass_time(database, 26)
    see(database, *ALL)
    execute(database, "INSERT INTO work_progress (kind, moved_at) VALUES ('sends', now())")
    assert [text[:13] for text in look(database)] == ["This is over:"]


def test_a_send_of_which_nothing_moves_is_told_and_one_that_moves_is_not(database: Database, send: int) -> None:
    pass_time(database, 15)
    see(database, *ALL)
    assert look(database) == []
    execute(database, "INSERT INTO work_progress (kind, moved_at) VALUES ('sends', now())")
    for _ in range(3):
        pass_time(database, 10)
        see(database, *ALL)
        assert look(database) == []
    pass_time(database, 16)
    assert ["Nothing moves in the queue of sends" in text for text in look(database)] == [True]


def test_a_queue_that_moves_but_is_old_is_told(database: Database) -> None:
    add_subscribers(database, 1)
    see(database, *ALL)
    execute(database, "INSERT INTO transactional_emails (kind, subscriber_id) VALUES ('paid', 1)")
    pass_time(database, 15 * 60 + 1)
    execute(database, "INSERT INTO work_progress (kind, moved_at) VALUES ('transactional emails', now())")
    see(database, *ALL)
    assert look(database) == []
    pass_time(database, 16)
    assert ["The queue of transactional emails grows" in text for text in look(database)] == [True]


def test_the_cause_is_told_and_not_what_follows_from_it(database: Database, send: int) -> None:
    pass_time(database, 300)
    see(database, "scheduler")
    look(database)
    pass_time(database, 16)
    see(database, "scheduler")
    look(database)
    assert ["`postmerge worker`" in text for text in list_told(database)] == [True]


def test_pings_come_once_a_minute_and_not_during_a_standstill(database: Database) -> None:
    see(database, *ALL)
    assert check_standstills(database, Settings())
    assert not check_standstills(database, Settings())
    pass_time(database, 56)
    see(database, *ALL)
    assert check_standstills(database, Settings())
    pass_time(database, 56)
    assert not check_standstills(database, Settings())


def fall_still(database: Database, what: str) -> tuple[str, ...]:
    """Let it begin; return the processes that run on."""
    everybody = ("serve", "events", *ALL)
    with database.transaction() as tx:
        if what == "silent events":
            tx.run("UPDATE deliveries SET state = 'accepted', settled_at = now()")
            tx.run("UPDATE sends SET started_at = now()")
        elif what == "waiting send":
            tx.run("UPDATE sends SET waiting_reason = 'the fence disagrees'")
        elif what == "transactional emails":
            tx.run("INSERT INTO transactional_emails (kind, subscriber_id) VALUES ('paid', 1)")
        elif what == "backlog of events":
            tx.run("UPDATE heartbeats SET backlog_since = now() WHERE kind = 'events'")
        elif what == "bulk actions":
            tx.run("INSERT INTO bulk_actions (type, metadata) VALUES ('x', '{}')")
    return tuple(kind for kind in everybody if kind != what)


@pytest.mark.parametrize(
    "what",
    [
        *ALL,
        "serve",
        "events",
        "waiting send",
        "sends",
        "silent events",
        "transactional emails",
        "backlog of events",
        "bulk actions",
    ],
)
def test_each_standstill_is_told_within_a_minute_although_one_process_looks(
    database: Database, tmp_path: Path, what: str
) -> None:
    conf = settings(tmp_path, transport="ses", sqs_queue_url="https://sqs.eu-west-1.amazonaws.com/1/x")
    add_subscribers(database, 100)
    adopt_issues(database, conf, [old()])
    publish(database, conf, [old(), edition()], [], Limits(), Request())
    see(database, "serve", "events", *ALL)
    execute(database, "UPDATE sends SET state = 'finished', finished_at = now()")
    if what in ("waiting send", "sends", "silent events"):
        execute(database, "UPDATE sends SET state = 'sending', started_at = now(), finished_at = NULL")
    running_on = fall_still(database, what)
    seconds, told = 0.0, list[str]()
    while not told:
        pass_time(database, int(BEAT_SECONDS))
        seconds += BEAT_SECONDS
        see(database, *running_on)
        told = look(database, conf)
        assert seconds <= 60 - POST_SECONDS, "told too late"
    assert len(told) == 1


def test_one_process_looks_at_a_time(database: Database) -> None:
    see(database, "scheduler")
    pass_time(database, 60)
    see(database, "scheduler")
    with database.transaction() as tx:
        tx.value("SELECT pg_advisory_xact_lock(hashtext('postmerge.standstills'))")
        assert look(database) == []
    threads = [threading.Thread(target=check_standstills, args=(database, Settings())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_told(database)) == 1


def test_a_notice_is_posted_once_however_many_processes_post(database: Database, tmp_path: Path, web: str) -> None:
    with database.transaction() as tx:
        for number in range(20):
            notices.add(tx, f"notice {number}")
    conf = settings(tmp_path, notify_url=web)
    threads = [threading.Thread(target=post_notices, args=(database, conf)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Page.got) == sorted(f'{{"text": "notice {number}"}}' for number in range(20))


def test_an_address_that_never_answers_delays_neither_heartbeats_nor_the_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, database.transaction() as tx:
        notices.add(tx, "never taken")
        conf = settings(tmp_path, notify_url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        started = time.monotonic()
        with Heartbeat(database, conf, "worker") as heart:
            for _ in range(20):
                heart.beat()
        assert time.monotonic() - started < 5


def test_a_notifier_pings_when_asked_and_goes_on_after_a_failure(database: Database, tmp_path: Path, web: str) -> None:
    Page.digest = "here"
    stopping = threading.Event()
    conf = settings(tmp_path, ping_url=f"{web}/ping", notify_url=web)
    assert not operator_notices.ping(settings(tmp_path, ping_url="http://127.0.0.1:1/"))
    notifier = Notifier(database, conf, stopping)
    notifier.request_ping()
    notifier.start()
    eventually(lambda: Page.visits == ["/ping"], 10, "the ping")
    stopping.set()


@pytest.mark.slow
def test_killed_processes_are_told_within_a_minute_by_those_that_run(
    database: Database, database_url: str, redis_url: str, tmp_path: Path, web: str
) -> None:
    Page.digest = "here"
    conf = settings(tmp_path, database_url, redis_url)
    more = {"POSTMERGE_NOTIFY_URL": web, "POSTMERGE_PING_URL": f"{web}/ping"}
    with running("serve", conf, more, "--port", str(find_free_port()), "--processes", "1"):
        victims = [start(kind, conf, more) for kind in ALL]
        eventually(lambda: bool(Page.visits), 60, "a ping while all runs")
        assert Page.got == []
        for victim in victims:
            kill(victim)
        killed = time.monotonic()
        eventually(lambda: len(Page.got) == 2, 60, "both are told within a minute")
        print(f"told after {time.monotonic() - killed:.0f} s")
        pings = len(Page.visits)
        again = [start(kind, conf, more) for kind in ALL]
        eventually(lambda: len(Page.got) == 4, 90, "both are told to be over")
        assert sum("This is over" in text for text in Page.got) == 2
        eventually(lambda: len(Page.visits) > pings, 90, "pings again")
        for one in again:
            stop(one)
        assert len(Page.got) == 4
