"""The same issue to the same number of subscribers through the same fake SES: this engine beside museletter and nuntius.

    .venv/bin/python -m bench.peers --subscribers 2000

Both are installed from the package index into environments of their own (``.postmerge/peers``) and run as their documentation
says, with their limits of rate lifted. Each sends three times: undisturbed, with the response to one accepted email lost, and
with a kill -9 of all that sends in the middle and a new start. The fake SES's log says who got it twice and who never.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from bench import peers_own
from bench.figures import Figures, parser
from bench.peers_field import Trial, trial
from bench.peers_museletter import NAME as MUSELETTER
from bench.peers_museletter import museletter
from bench.peers_nuntius import ANYMAIL, SMTP, nuntius
from bench.send import Wanted, measure, postgres_cpu
from mailer.core import log
from mailer.core.db import Database
from tests import services
from tests.fakes.ses import FakeSes

FAULTS = ("", "lost", "kill")
NAMES = ("Postmerge", MUSELETTER, "nuntius 2.5.0 (SMTP)", "nuntius 2.5.0 (SES's API by Anymail)")
NOT_RUN = (
    "-",
    "TLS (SES's address, written into its client, was changed to the fake's); sending through Cloudflare",
    "version 3 (needs Python 3.12); TLS and a password on the SMTP port",
    "version 3 (needs Python 3.12)",
)


@dataclass(frozen=True)
class Plan:
    """What every program gets: ``latency`` in seconds; ``senders`` are nuntius's processes, ``connections`` ours."""

    subscribers: int
    latency: float
    senders: int
    connections: int


@contextmanager
def fake(plan: Plan) -> Iterator[FakeSes]:
    """A fresh fake SES with both doors."""
    with FakeSes(smtp=True) as ses:
        ses.control(latency_s=plan.latency)
        yield ses


def ours(plan: Plan) -> list[Trial]:
    """This engine: undisturbed as bench.send measures it, then with the two faults."""
    found = measure(Wanted(subscribers=plan.subscribers, connections=plan.connections, latency=plan.latency))
    never = found.subscribers - (found.accepted - found.doubled)
    first = Trial(found.accepted, found.doubled, never, found.rate, found.cpu, found.postgres_cpu, True, "")
    return [first, *(peers_own.trial(plan.subscribers, plan.connections, plan.latency, fault) for fault in FAULTS[1:])]


def museletters(plan: Plan) -> list[Trial]:
    """museletter, three times from new."""
    trials = []
    for fault in FAULTS:
        with fake(plan) as ses, museletter(ses, plan.subscribers) as peer:
            trials.append(trial(peer, ses, plan.subscribers, fault))
    return trials


def nuntiuses(plan: Plan, server: str, backend: str) -> list[Trial]:
    """nuntius, three times from new."""
    trials = []
    for fault in FAULTS:
        with fake(plan) as ses, nuntius(server, ses, plan.subscribers, backend, plan.senders) as peer:
            database = Database(server)
            try:
                trials.append(trial(peer, ses, plan.subscribers, fault, partial(postgres_cpu, database)))
            finally:
                database.close()
    return trials


def table(plan: Plan, columns: dict[str, list[Trial] | str], loads: list[float]) -> Figures:
    """One column for each program; of one that could not be run, why. ``loads``: of the machine, after each program's sends."""

    def row(what: str, number: int, cell: Callable[[Trial], str]) -> tuple[str, ...]:
        return (what, *("not run" if isinstance(one, str) else cell(one[number]) for one in columns.values()))

    rows = [
        row("accepted, twice, never", 0, lambda one: f"{one.accepted:,}, {one.twice}, {one.never}"),
        row("emails a second", 0, lambda one: f"{one.rate:,.0f}"),
        row("CPU-seconds for 1,000 emails", 0, lambda one: _each_thousand(one.cpu, one)),
        row("  its Postgres", 0, _postgres),
        ("  the machine's load meanwhile", *(f"{load:.1f}" for load in loads)),
    ]
    for number, what in ((1, "one answer lost"), (2, "kill -9 in the middle")):
        rows.append(row(f"{what}: twice, never", number, lambda one: f"{one.twice}, {one.never}"))
        rows.append(row("  what it says itself", number, _said))
    without = (columns[name] if isinstance(columns[name], str) else why for name, why in zip(NAMES, NOT_RUN, strict=True))
    rows.append(("not run here", *map(str, without)))
    return Figures("peers", (f"{plan.subscribers:,} subscribers", *columns), rows)


def _each_thousand(seconds: float, one: Trial) -> str:
    return f"{seconds / max(one.accepted, 1) * 1000:.2f}"


def _postgres(one: Trial) -> str:
    return _each_thousand(one.postgres_cpu, one) if one.postgres_cpu else "none (SQLite inside)"


def _said(one: Trial) -> str:
    return one.record if one.finished else f"{one.record}; not finished in time"


def main() -> None:
    """Run and print the table."""
    command = parser(__doc__)
    command.add_argument("--subscribers", type=int, default=2_000)
    command.add_argument("--latency", type=float, default=0.05, help="seconds that the fake SES takes for an answer")
    command.add_argument("--senders", type=int, default=16, help="nuntius's sending processes (its default is 4)")
    command.add_argument("--connections", type=int, default=96, help="our connections to SES")
    options = vars(command.parse_args())
    save = options.pop("save")
    log.configure("error")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as with Ctrl-C: everything started is stopped
    plan = Plan(**options)
    told = Console(stderr=True)
    columns: dict[str, list[Trial] | str] = {}
    loads: list[float] = []  # rates compare only where these are alike
    with services.scratch("peers") as folder, services.postgres(folder, durable=True) as server:
        runs: tuple[Callable[[], list[Trial]], ...] = (
            lambda: ours(plan),
            lambda: museletters(plan),
            lambda: nuntiuses(plan, server, SMTP),
            lambda: nuntiuses(plan, server, ANYMAIL),
        )
        for name, run in zip(NAMES, runs, strict=True):
            try:
                columns[name] = run()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                columns[name] = f"could not be run: {error}"
            loads.append(os.getloadavg()[1])
            told.print(f"{name}: {columns[name]}; load {loads[-1]:.1f}")
    table(plan, columns, loads).show(save)


if __name__ == "__main__":
    main()
