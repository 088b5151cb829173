"""`postmerge serve` with several processes on one port: what one of them dying, the parent dying and stopping do."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from tests import commands
from tests.factories import settings
from tests.processes import eventually, kill, running

pytestmark = pytest.mark.slow


@dataclass
class Server:
    """A running server of two processes and the one that watches over them."""

    port: int
    parent: subprocess.Popen[bytes]
    conf: Settings

    def ask(self, key: str = "", path: str = "/v1/accounts/me") -> int:
        """The status of an answer on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={"Authorization": f"Token {key}"} if key else {})
        status = connection.getresponse().status
        connection.close()
        return status

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def workers(self) -> set[int]:
        """The processes that answer; multiprocessing has one of its own beside them."""
        found = psutil.Process(self.parent.pid).children()
        return {one.pid for one in found if one.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(one.cmdline())}


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[Server]:
    port = find_free_port()
    conf = settings(tmp_path, database.url)
    with running("serve", conf, {}, "--port", str(port), "--processes", "2") as parent:
        found = Server(port, parent, conf)
        eventually(lambda: found.listens() and len(found.workers()) == 2, 60, "two processes serve")
        yield found


def test_when_one_dies_the_other_answers_and_a_new_one_comes(server: Server) -> None:
    before = server.workers()
    os.kill(min(before), signal.SIGKILL)
    assert [server.ask() for _ in range(20)] == [401] * 20
    eventually(lambda: len(server.workers() - before) == 1, 20, "a new process replaces the dead one")
    os.kill(max(before), signal.SIGKILL)
    assert server.ask() == 401  # the new one answers alone


def test_new_clients_of_a_busy_process_are_answered_by_the_other(server: Server) -> None:
    for pid in server.workers():
        psutil.Process(pid).suspend()
        assert [server.ask() for _ in range(5)] == [401] * 5
        psutil.Process(pid).resume()


def test_sighup_replaces_the_processes_and_no_request_is_lost(server: Server) -> None:
    before = server.workers()
    server.parent.send_signal(signal.SIGHUP)
    answers = []
    until = time.monotonic() + 60
    while before & server.workers() and time.monotonic() < until:
        answers.append(server.ask(path="/health/live"))  # which has no limit
    assert not before & server.workers()
    assert set(answers) == {200}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_database_that_cannot_be_reached_is_named_once(tmp_path: Path, processes: str) -> None:
    environ = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "POSTMERGE_SECRET": "s" * 32, "POSTMERGE_TRANSPORT": "outbox"}
    done = commands.run(tmp_path, environ, "serve", "--port", str(find_free_port()), "--processes", processes)
    assert (done.returncode, done.stderr.count("Postgres")) == (1, 1), done.stderr


def test_when_the_parent_dies_nothing_of_it_is_left(server: Server) -> None:
    workers = server.workers()
    kill(server.parent)
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in workers), 60, "the processes end")  # once they have started
    assert not server.listens()


def test_a_server_that_was_killed_is_started_again_at_once(server: Server) -> None:
    kill(server.parent)  # its processes have the port until they notice
    with running("serve", server.conf, {}, "--port", str(server.port), "--processes", "2") as parent:
        again = Server(server.port, parent, server.conf)
        eventually(lambda: len(again.workers()) == 2 and again.listens(), 60, "two processes serve again")
        assert again.ask() == 401


def test_a_stop_ends_all_and_says_that_all_is_well(server: Server) -> None:
    workers = server.workers()
    assert server.ask() == 401
    server.parent.terminate()
    assert server.parent.wait(20) == 0
    assert not any(psutil.pid_exists(pid) for pid in workers)


def test_a_client_that_had_just_connected_when_the_server_stopped_is_answered(server: Server) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=20) for _ in range(8)]
    for one in connections:
        one.connect()
    assert server.ask() == 401  # so that the others are accepted
    server.parent.terminate()
    time.sleep(0.5)  # of the 1.5 s that an unused connection has
    for one in connections:
        one.request("GET", "/v1/accounts/me")
    answers = [one.getresponse() for one in connections]
    assert [(one.status, one.getheader("connection")) for one in answers] == [(401, "close")] * 8


def test_a_keys_limit_holds_for_all_processes_together(server: Server, database: Database) -> None:
    key = api_keys.create_key(database, "slow", per_minute=12)
    answers = Counter(server.ask(key) for _ in range(40))
    assert set(answers) == {200, 429}
    assert 12 <= answers[200] <= 14  # a bucket of a minute's worth, and what fills while we ask
