"""The sending engine at full load: real worker and scheduler processes, a real Postgres and Valkey, the fake SES beside them.

    .venv/bin/python -m bench.send --readers 20000

Prints mails a second between the first and the last mail that the fake SES accepted, CPU-seconds for 1,000 mails over our own
processes (worker and scheduler), and the worker's largest memory. The body has 40 KB and a link of each reader's own.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import psutil
from rich.console import Console
from rich.table import Table

from mailer.actors import Bell
from mailer.db import Database
from mailer.flows.publish import Request, adopt, publish
from mailer.flows.status import status
from mailer.message import LEAVE_URL
from mailer.migrate import migrate
from mailer.settings import Settings
from mailer.transports.ses import Ses
from tests import factories, processes, services
from tests.fakes.ses import FakeSes

BODY = "<p>The ledger has one row for each reader and each send, and every change of state is one statement.</p>\n" * 390


@dataclass(frozen=True)
class Measured:
    """What one run showed; ``cpu`` and ``postgres_cpu`` in CPU-seconds, ``memory`` in MB."""

    readers: int
    accepted: int
    doubled: int
    rate: float
    cpu: float
    postgres_cpu: float
    fake_cpu: float
    memory: float
    freeze: float
    throttled: int = 0


@contextmanager
def bench_settings(connections: int) -> Iterator[tuple[Settings, Database]]:
    """A durable Postgres (fsync on) and a Valkey of the bench's own, migrated."""
    with ExitStack() as stack:
        folder = stack.enter_context(services.scratch("bench"))
        url = stack.enter_context(services.postgres(folder, durable=True))
        redis_url = stack.enter_context(services.valkey())
        database = Database(url)
        migrate(database)
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


def postgres_cpu() -> float:
    """CPU-seconds of all processes named postgres on this machine."""
    total = 0.0
    for process in psutil.process_iter(["name", "cpu_times"]):
        if process.info["name"] == "postgres" and process.info["cpu_times"]:
            total += process.info["cpu_times"].user + process.info["cpu_times"].system
    return total


def measure(readers: int, workers: int, connections: int, latency: float, more: dict[str, str], rate: float = -1) -> Measured:
    """One send to ``readers`` made-up addresses; ``rate`` is the account's limit in mails a second (-1: none)."""
    with bench_settings(connections) as (conf, database), FakeSes() as ses:
        ses.control(latency_s=latency, rate=rate)
        environ = {**ses.environ, **more}
        factories.readers(database, readers)
        adopt(database, conf, [factories.old()])
        issue = factories.edition(body=BODY, html=f'<html lang="en"><body>{BODY}<a href="{LEAVE_URL}">Leave</a></body></html>')
        with processes.running("scheduler", conf, environ) as clock, ExitStack() as stack:
            team = [stack.enter_context(processes.running("worker", conf, environ)) for _ in range(workers)]
            time.sleep(2)
            pids = [clock.pid, *(one.pid for one in team)]
            watch = Watch(pids)
            watch.start()
            before, pg_before = cpu(pids), postgres_cpu()
            started = time.perf_counter()
            [send_id] = publish(database, conf, [factories.old(), issue], [], _Unlimited(), Request()).send_ids
            freeze = time.perf_counter() - started
            Bell(conf.redis_url).ring_send(send_id)
            while status(database)[0].send.state != "finished":
                time.sleep(0.25)
            used, pg_used = cpu(pids) - before, postgres_cpu() - pg_before
            watch.stopping.set()
        return _measured(readers, ses, used, pg_used, watch.memory, freeze)


def _measured(readers: int, ses: FakeSes, used: float, pg_used: float, memory: float, freeze: float) -> Measured:
    mails = ses.accepted()
    moments = sorted(mail["at"] for mail in mails)
    seconds = moments[-1] - moments[0]
    fake = psutil.Process(ses._process.pid).cpu_times() if ses._process else None
    return Measured(
        readers=readers,
        accepted=len(mails),
        doubled=len(mails) - len({mail["to"] for mail in mails}),
        rate=len(mails) / seconds,
        cpu=used,
        postgres_cpu=pg_used,
        fake_cpu=fake.user + fake.system if fake else 0,
        memory=memory,
        freeze=freeze,
        throttled=ses.stats()["throttled"],
    )


class _Unlimited(Ses):
    def account(self) -> None:
        return None


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that the fake SES takes for an answer")
    parser.add_argument("--rate", type=float, default=-1, help="the account's mails a second (default: no limit)")
    options = parser.parse_args()
    found = measure(options.readers, options.workers, options.connections, options.latency, {}, options.rate)
    thousand = found.accepted / 1000
    table = Table("what", "figure", box=None, header_style="bold")
    table.add_row("accepted, of them twice", f"{found.accepted:,} of {found.readers:,}, {found.doubled}")
    table.add_row("mails a second", f"{found.rate:,.0f}")
    if options.rate > 0:
        table.add_row("  of the account's rate", f"{found.rate / options.rate:.1%}")
        table.add_row("  throttled", f"{found.throttled:,} of {found.accepted + found.throttled:,} calls")
    table.add_row("CPU-seconds for 1,000 mails, ours", f"{found.cpu / thousand:.2f}")
    table.add_row("  Postgres", f"{found.postgres_cpu / thousand:.2f}")
    table.add_row("  the fake SES", f"{found.fake_cpu / thousand:.2f}")
    table.add_row("memory of the largest process", f"{found.memory:.0f} MB")
    table.add_row("publish, freeze included", f"{found.freeze:.1f} s")
    Console().print(table)


if __name__ == "__main__":
    main()
