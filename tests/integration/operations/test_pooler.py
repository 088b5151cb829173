"""PgBouncer in transaction mode: all but backups works through it, and a wrong set-up is refused in a sentence."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mailer.core import async_db, db
from mailer.core.db import Database, Question
from mailer.core.errors import PostmergeError, Refused, Unavailable
from mailer.core.migrate import pending, run_migrations
from mailer.flows.operations import backups
from mailer.flows.operations.backups import BackupOptions
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_status import list_send_statuses
from mailer.transports.outbox import Outbox
from tests import factories, services, web
from tests.integration.sending.test_send_control import begin
from tests.processes import eventually

pytestmark = pytest.mark.skipif(not shutil.which("pgbouncer"), reason="pgbouncer is not installed")
SETTINGS = "ALTER DATABASE \"{}\" SET timezone TO 'UTC'"


@contextlib.contextmanager
def pooler(url: str, ignore: str = "options, jit", mode: str = "transaction") -> Iterator[str]:
    """A PgBouncer with three sessions in front of a database; the database's URL through it."""
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = Path(tempfile.gettempdir()) / f"pgbouncer-{port}.ini"  # which its own system user may read
    config.write_text(
        f"[databases]\n* = host={host} port={parts.port or 5432} user={parts.username or 'postgres'}"
        f" password={parts.password or 'none'}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
        f"default_pool_size = 3\nmax_client_conn = 200\nignore_startup_parameters = {ignore}\n"
    )
    user = ["-u", Path(host).owner() if host.startswith("/") else "nobody"] if os.getuid() == 0 else []
    child = subprocess.Popen(["pgbouncer", "-q", *user, config], stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port), 10, "PgBouncer listens")
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        child.kill()
        child.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pooled(database_url: str) -> Iterator[Database]:
    services.run_outside_transaction(database_url, SETTINGS.format(urlsplit(database_url).path[1:]))
    with pooler(database_url) as url:
        database = Database(url)
        yield database
        database.close()


def test_sign_ups_and_a_send_of_several_workers_work_through_it(pooled: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, pooled)
    with ThreadPoolExecutor(8) as pool:  # more than there are sessions
        list(pool.map(lambda number: newsletter.subscribe(f"ada-{number}@example.org"), range(16)))
    holder = newsletter.holder()
    for number in range(8):
        assert holder.get(f"/v1/subscribers/ada-{number}@example.org").status_code == 200
    with pooled.transaction() as tx:
        assert tx.value("SELECT count(*) FROM subscribers") == 16
        tx.run("DELETE FROM transactional_emails")
    conf = factories.settings(tmp_path, pooled.url, first_slice=100.0, connections=4)
    send_id = begin(pooled, conf, 200)
    advance_sends(pooled, conf)
    with ThreadPoolExecutor(4) as pool:
        sent = pool.map(lambda _: deliver_send(pooled, conf, Outbox(tmp_path / "sent"), send_id).sent, range(4))
    advance_sends(pooled, conf)
    assert sum(sent) == 200 == len(list((tmp_path / "sent").glob("*.eml")))
    assert str(list_send_statuses(pooled)[0].send.state) == "finished"


def test_frequent_questions_meet_another_session_each_time_and_are_answered(pooled: Database) -> None:
    import asyncio

    assert db.is_pooled(pooled.url)

    async def ask() -> list[int | None]:
        asker = async_db.Asker(pooled.url)
        question = Question("SELECT %(number)s::int * 2 AS double", {"number": 21}, lambda double: int(double))
        return list(await asyncio.gather(*(asker.ask(question) for _ in range(40))))

    assert asyncio.run(ask()) == [42] * 40


def test_migrations_run_through_it_one_process_at_a_time(postgres_url: str) -> None:
    with services.cloned(postgres_url, "template0") as url:
        services.run_outside_transaction(url, SETTINGS.format(urlsplit(url).path[1:]))
        with pooler(url) as through, ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda _: run_migrations(Database(through)), range(2)))
            assert sorted(map(bool, done)) == [False, True]
            assert pending(Database(through)) == []


def test_a_session_pooler_is_told_from_a_direct_connection_and_works(database_url: str) -> None:
    assert not db.is_pooled(database_url)
    services.run_outside_transaction(database_url, SETTINGS.format(urlsplit(database_url).path[1:]))
    with pooler(database_url, mode="session") as url:
        assert pending(Database(url)) == []


@pytest.mark.parametrize(
    ("ignore", "zone", "said"),
    [("extra_float_digits", "UTC", "ignore_startup_parameters = options"), ("options, jit", "Asia/Tokyo", "another time zone")],
)
def test_a_wrong_set_up_is_refused_in_a_sentence(database_url: str, tmp_path: Path, ignore: str, zone: str, said: str) -> None:
    name = urlsplit(database_url).path[1:]
    services.run_outside_transaction(database_url, SETTINGS.format(name).replace("'UTC'", f"'{zone}'"))
    with pooler(database_url, ignore) as url, pytest.raises((Refused, Unavailable), match=said) as error:
        pending(Database(url))
    assert isinstance(error.value, PostmergeError)
    assert "ALTER DATABASE name SET timezone TO 'UTC'" in str(error.value)


def test_a_backup_through_it_is_refused(pooled: Database, tmp_path: Path) -> None:
    conf = replace(factories.settings(tmp_path), database_url=pooled.url)
    with pytest.raises(Refused, match="leads to a pooler"):
        backups.make_backup(pooled, conf, BackupOptions(str(tmp_path / "backups")))
    with pytest.raises(Refused, match="leads to a pooler"):
        backups.restore_backup(pooled, conf, "x.tar", None)
