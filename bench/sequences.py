"""Sequences with many subscribers: what the scheduler's look at what is due costs, and how fast steps are queued.

    .venv/bin/python -m bench.sequences --enrolled 1000000

Everybody is enrolled, and waits for one of five steps; ``--due`` of them are due.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from bench.databases import fresh_database
from bench.figures import Figures, parser
from mailer.core import log
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, preview_publish
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from mailer.flows.sending.sequence_control import list_sequences
from mailer.store.sending import sends
from tests import factories
from tests.integration.publishing.test_publish import Limits
from tests.sequences import merge, steps

_NAMES = ("one", "two", "three", "four", "five")
_ROUNDS = 5


def main() -> None:
    """Run the bench."""
    command = parser(__doc__)
    command.add_argument("--enrolled", type=int, default=100_000)
    command.add_argument("--due", type=int, default=10_000)
    given = command.parse_args()
    log.configure("error")
    with fresh_database("sequences") as (database, folder):
        rows = _bench(database, factories.settings(folder), given.enrolled, given.due)
    Figures("sequences", (f"{given.enrolled:,} enrolled, {given.due:,} due", "figure"), rows).show(given.save)


def _bench(database: Database, settings: Settings, enrolled: int, due: int) -> list[tuple[str, str]]:
    merge(database, settings, [factories.old(), *steps(*_NAMES)])
    factories.add_subscribers(database, enrolled)
    _enrol(database)
    idle = _time_idle(database, settings)
    with database.transaction() as tx:
        tx.run("UPDATE enrolments SET due_at = now() - interval '1 minute' WHERE subscriber_id <= %(due)s", due=due)
    started, queued, slowest = time.monotonic(), 0, 0.0
    while queued < due:
        before = time.monotonic()
        number = queue_due_steps(database, settings)
        assert number, "a round queued nobody"
        queued += number
        slowest = max(slowest, time.monotonic() - before)
    seconds = time.monotonic() - started
    inserted = steps("one", "two", "between", "three", "four", "five")
    planned = _time(lambda: preview_publish(database, settings, [factories.old(), *inserted], [], Limits(), Request()))
    changed = _time(lambda: merge(database, settings, [factories.old(), *inserted]))
    shown = _time(lambda: list_sequences(database))
    with database.transaction() as tx:
        open_sends = sum(1 for one in sends.list_all(tx) if one.continuous)
    return [
        ("a round of the scheduler while nothing is due, median", f"{idle * 1000:.0f} ms"),
        (f"queueing {queued:,} due steps", f"{seconds:.1f} s, {queued / seconds:,.0f} a second"),
        ("  slowest round", f"{slowest:.2f} s"),
        ("plan of an inserted step, with counts", f"{planned:.2f} s"),
        ("publishing it", f"{changed:.1f} s"),
        ("`postmerge sequences`", f"{shown:.2f} s"),
        ("continuous sends", f"{open_sends}"),
    ]


def _enrol(database: Database) -> None:
    """Enrol everybody, spread over the steps and over the days until the next one is due."""
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO enrolments (subscriber_id, sequence_id, step_id, due_at)
            SELECT subscribers.id, chosen.sequence_id, chosen.id,
                now() + make_interval(mins => 60 + mod(subscribers.id, 4000)::int)
            FROM subscribers JOIN (
                SELECT id, sequence_id, row_number() OVER (ORDER BY position) AS place FROM sequence_steps
            ) AS chosen ON chosen.place = 1 + mod(subscribers.id, 5)
            """
        )
        tx.run(
            """
            INSERT INTO sequence_emails (subscriber_id, step_id)
            SELECT enrolments.subscriber_id, earlier.id
            FROM enrolments
            JOIN sequence_steps AS present ON present.id = enrolments.step_id
            JOIN sequence_steps AS earlier ON earlier.position < present.position
            """
        )
        tx.script("ANALYZE")


def _time_idle(database: Database, settings: Settings) -> float:
    found = []
    for _ in range(_ROUNDS):
        before = time.monotonic()
        assert queue_due_steps(database, settings) == 0
        found.append(time.monotonic() - before)
    return median(found)


def _time(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


if __name__ == "__main__":
    main()
