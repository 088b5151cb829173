"""The sending engine at full load: real worker and scheduler processes, a real Postgres and Valkey, the fake SES beside them.

    .venv/bin/python -m bench.send --subscribers 20000

Prints emails a second between the first and the last email that the fake SES accepted, CPU-seconds for 1,000 emails over our
own processes (worker, scheduler and, with ``--events``, the event consumer), and the largest memory of one of them. The body
has 40 KB and each subscriber's own link. ``--confirmations`` lets people sign up while the bulk runs and times their emails.
``--tls`` speaks TLS with the fake, as with SES; ``--client boto3`` sends by boto3 instead of the lean client.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psutil

from bench.field import Unlimited
from bench.figures import Figures, parser
from mailer.core import log
from mailer.core.db import Database
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.core.migrate import run_migrations
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers.signup import sign_up
from mailer.store.sending import sends
from mailer.workers.actors import WakeUps
from tests import factories, processes, services
from tests.fakes.ses import FakeSes

RULE = "python and not beginners"
BODY = "<p>The ledger has one row for each subscriber and each send, and every change of state is one statement.</p>\n" * 390


@dataclass(frozen=True)
class Measured:
    """What one run showed; ``cpu`` and ``postgres_cpu`` in CPU-seconds, ``memory`` in MB."""

    subscribers: int
    accepted: int
    doubled: int
    rate: float
    cpu: float
    postgres_cpu: float
    fake_cpu: float
    memory: float
    freeze: float
    throttled: int = 0
    waits: tuple[float, ...] = ()  # seconds from a sign-up until SES had its confirmation, sorted
    delivered: int = 0
    slowest_sign_up: float = 0.0  # seconds, of those begun while the audience was frozen
    ledger: float = 0.0  # MB of the tables of deliveries and their events, with indexes


@contextmanager
def bench_settings(connections: int) -> Iterator[tuple[Settings, Database]]:
    """A durable Postgres (fsync on) and a Valkey of the bench's own, migrated."""
    with ExitStack() as stack:
        folder = stack.enter_context(services.scratch("bench"))
        url = stack.enter_context(services.postgres(folder, durable=True))
        redis_url = stack.enter_context(services.valkey())
        database = Database(url)
        run_migrations(database)
        conf = factories.settings(folder, url, redis_url, transport="ses", claim_lease=timedelta(seconds=60))
        yield replace(conf, connections=connections, first_slice=100.0), database
        database.close()


class Watch(threading.Thread):
    """Samples the memory and CPU of processes until stopped."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self.processes = [psutil.Process(pid) for pid in pids]
        self.memory = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.2):
            self.memory = max(self.memory, *(p.memory_info().rss / 1e6 for p in self.processes if p.is_running()))


def cpu(pids: list[int]) -> float:
    """CPU-seconds used so far by these processes and their children."""
    total = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def postgres_cpu(database: Database) -> float:
    """CPU-seconds of this database's server so far, with its processes that have ended."""
    with database.transaction() as tx:
        backend = psutil.Process(tx.value("SELECT pg_backend_pid()"))
    server = backend.parent()
    assert server
    total = sum(server.cpu_times()[:4])
    for one in server.children():
        with suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:2])
    return float(total)


@dataclass(frozen=True)
class Wanted:
    """What to measure: ``latency`` in seconds, ``rate`` the account's limit in emails a second (-1: none)."""

    subscribers: int = 20_000
    workers: int = 1
    connections: int = 96
    latency: float = 0.05
    rate: float = -1
    events: bool = False
    confirmations: float = 0.0  # sign-ups a second
    tls: bool = False
    client: str = "lean"


class SignUps(threading.Thread):
    """People who sign up while the bulk runs, so many a second."""

    def __init__(self, database: Database, conf: Settings, each_second: float) -> None:
        super().__init__(daemon=True)
        self.database, self.wake_ups, self.pause = database, WakeUps(conf.redis_url), 1 / each_second
        self.at: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.wait(self.pause):
            number += 1
            email = f"new-{number}@sign-up-{number}.example"
            self.at[email] = time.time()
            queued = sign_up(self.database, email).email_queued
            self.took[email] = time.time() - self.at[email]
            if queued:
                self.wake_ups.enqueue_transactional()
            else:
                del self.at[email], self.took[email]  # held back by the firewall that this crowd trips


def measure(wanted: Wanted, more: dict[str, str] | None = None) -> Measured:
    """One send to made-up addresses."""
    with (
        bench_settings(wanted.connections) as (conf, database),
        tempfile.TemporaryDirectory() as folder,
        FakeSes(certificate=_make_certificate(Path(folder)) if wanted.tls else None) as ses,
    ):
        subscribers, rate = wanted.subscribers, wanted.rate
        ses.control(latency_s=wanted.latency, rate=rate, **({"events": {"late_s": 0.5}} if wanted.events else {}))
        environ = {
            **ses.environ,
            "POSTMERGE_SES_CLIENT": wanted.client,
            **(more or {}),
            **({"POSTMERGE_SQS_QUEUE_URL": ses.queue_url} if wanted.events else {}),
        }
        factories.add_subscribers(database, subscribers, ("python",))
        adopt_issues(database, conf, [factories.old()])
        issue = factories.edition(
            body=BODY, html=f'<html lang="en"><body>{BODY}<a href="{UNSUBSCRIBE_URL}">Leave</a></body></html>', audience=RULE
        )
        with processes.running("scheduler", conf, environ) as clock, ExitStack() as stack:
            team = [stack.enter_context(processes.running("worker", conf, environ)) for _ in range(wanted.workers)]
            if wanted.events:
                team.append(stack.enter_context(processes.running("events", conf, environ)))
            time.sleep(2)
            pids = [clock.pid, *(one.pid for one in team)]
            people = SignUps(database, conf, wanted.confirmations) if wanted.confirmations else None
            watch = Watch(pids)
            watch.start()
            before, pg_before = cpu(pids), postgres_cpu(database)
            if people:
                people.start()
            started, since = time.perf_counter(), time.time()
            [send_id] = publish(
                database, conf, [factories.old(), issue], [], Unlimited(), Request(allow=("unknown-tag",))
            ).send_ids
            freeze = time.perf_counter() - started
            WakeUps(conf.redis_url).enqueue_send(send_id)
            while not is_finished(database, send_id):
                time.sleep(0.25)
            while wanted.events and list_send_statuses(database)[0].deliveries["delivered"] < subscribers:
                time.sleep(max(0.25, subscribers / 1e6))
            if people:
                people.stopping.set()
                time.sleep(3)
            used, pg_used = cpu(pids) - before, postgres_cpu(database) - pg_before
            watch.stopping.set()
        delivered = list_send_statuses(database)[0].deliveries["delivered"]
        found = _measured(subscribers, ses, used, pg_used, watch.memory, freeze)
        held = [took for email, took in people.took.items() if since <= people.at[email] <= since + freeze] if people else []
        return replace(
            found,
            waits=_waits(people, ses),
            delivered=delivered,
            slowest_sign_up=max(held, default=0.0),
            ledger=_ledger(database),
        )


def _make_certificate(folder: Path) -> Path:
    """Make a key and a certificate for the fake, in one PEM file."""
    made = folder / "ses.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", made, "-out", folder / "crt", *subject],
        check=True,
        capture_output=True,
    )
    made.write_text(made.read_text() + (folder / "crt").read_text())
    return made


def is_finished(database: Database, send_id: int) -> bool:
    """Is the send over? Asked without counting its deliveries, which would cost more than the sending at a million."""
    with database.transaction() as tx:
        send = sends.get(tx, send_id)
    return send is not None and send.state is sends.SendState.FINISHED


def _ledger(database: Database) -> float:
    with database.transaction() as tx:
        size = tx.value("SELECT pg_total_relation_size('deliveries') + pg_total_relation_size('delivery_events')")
    return float(size) / 1e6


def _waits(people: SignUps | None, ses: FakeSes) -> tuple[float, ...]:
    """How long each confirmation took; raises AssertionError when one never came."""
    if people is None:
        return ()
    arrived = {email["to"]: email["at"] for email in ses.accepted()}
    lost = [email for email in people.at if email not in arrived]
    assert not lost, f"{len(lost)} confirmations never came"
    return tuple(sorted(arrived[email] - at for email, at in people.at.items()))


def _measured(subscribers: int, ses: FakeSes, used: float, pg_used: float, memory: float, freeze: float) -> Measured:
    emails = [email for email in ses.accepted() if email["tags"].get("send")]
    moments = sorted(email["at"] for email in emails)
    seconds = moments[-1] - moments[0]
    fake = psutil.Process(ses._process.pid).cpu_times() if ses._process else None
    return Measured(
        subscribers=subscribers,
        accepted=len(emails),
        doubled=len(emails) - len({email["to"] for email in emails}),
        rate=len(emails) / seconds,
        cpu=used,
        postgres_cpu=pg_used,
        fake_cpu=fake.user + fake.system if fake else 0,
        memory=memory,
        freeze=freeze,
        throttled=ses.stats()["throttled"],
    )


def main() -> None:
    """Run and print the table."""
    command = parser(__doc__)
    command.add_argument("--subscribers", type=int, default=20_000)
    command.add_argument("--workers", type=int, default=1)
    command.add_argument("--connections", type=int, default=96)
    command.add_argument("--latency", type=float, default=0.05, help="seconds that the fake SES takes for an answer")
    command.add_argument("--events", action="store_true", help="SES reports each email, and `postmerge events` takes it in")
    command.add_argument("--confirmations", type=float, default=0, help="sign-ups a second while the bulk runs")
    command.add_argument("--tls", action="store_true", help="speak TLS with the fake SES")
    command.add_argument("--client", choices=("lean", "boto3"), default="lean", help="POSTMERGE_SES_CLIENT of the processes")
    command.add_argument("--rate", type=float, default=-1, help="the account's emails a second (default: no limit)")
    options = vars(command.parse_args())
    save = options.pop("save")
    log.configure("error")
    wanted = Wanted(**options)
    Figures(_section(wanted), ("what", "figure"), _rows(wanted, measure(wanted))).show(save)


def _section(wanted: Wanted) -> str:
    if wanted.rate > 0:
        return "send-rate"
    if wanted.confirmations:
        return "send-confirmations"
    kind = "send-events" if wanted.events else "send"
    return f"{kind}{'-tls' * wanted.tls}{'-boto3' * (wanted.client == 'boto3')}"


def _rows(wanted: Wanted, found: Measured) -> list[tuple[str, str]]:
    thousand = found.accepted / 1000
    rows = [
        ("accepted, of them twice", f"{found.accepted:,} of {found.subscribers:,}, {found.doubled}"),
        ("emails a second", f"{found.rate:,.0f}"),
    ]
    if wanted.rate > 0:
        rows.append(("  of the account's rate", f"{found.rate / wanted.rate:.1%}"))
        rows.append(("  throttled", f"{found.throttled:,} of {found.accepted + found.throttled:,} calls"))
    rows += [
        ("CPU-seconds for 1,000 emails, ours", f"{found.cpu / thousand:.2f}"),
        ("  Postgres", f"{found.postgres_cpu / thousand:.2f}"),
        ("  the fake SES", f"{found.fake_cpu / thousand:.2f}"),
        ("memory of the largest process", f"{found.memory:.0f} MB"),
        ("publish, freeze included", f"{found.freeze:.1f} s"),
    ]
    if wanted.events:
        rows.append(("delivered, by SES's events", f"{found.delivered:,}"))
    if waits := found.waits:
        rows.append(("confirmations while it ran", f"{len(waits):,}"))
        rows.append(("  99th percentile until SES had it", f"{waits[int(len(waits) * 0.99) - 1]:.2f} s"))
    return rows


if __name__ == "__main__":
    main()
