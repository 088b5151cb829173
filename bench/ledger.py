"""A ledger of many weeks: what each piece of daily work reads and how long it takes, and how large the ledger is.

    .venv/bin/python -m bench.ledger --weeks 200 --subscribers 100000

20 million deliveries take half an hour on two cores and 20 GB on disk. Postgres is durable, with its default settings; the
same work on a small ledger is a test (``tests/integration/operations/test_old_ledger.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

from bench.databases import fresh_database
from bench.figures import Figures, parser
from mailer.core import log
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import adopt_issues
from tests import factories, ledger_work, old_ledger, query_plans

_WEEKS_OF_FIVE_YEARS = 260


def main() -> None:
    """Run the bench."""
    command = parser(__doc__)
    command.add_argument("--weeks", type=int, default=50)
    command.add_argument("--subscribers", type=int, default=2_000)
    given = command.parse_args()
    log.configure("error")
    with fresh_database("ledger") as (database, folder):
        old_ledger.fill(database, given.weeks, given.subscribers, sessions=2)
        work = list(_measure_work(database, factories.settings(folder), given.subscribers))
        rest = [*_measure_pruning(database), *_measure_size(database, given.weeks, given.subscribers)]
    title = f"{given.weeks} sends to {given.subscribers:,} subscribers"
    Figures("ledger", (title, "ms", "ms of CPU", "pages", "rows read"), work).show(given.save)
    Figures("ledger-size", (title, "figure"), rest).show(given.save)


def _measure_work(database: Database, settings: Settings, subscribers: int) -> Iterator[tuple[str, ...]]:
    adopt_issues(database, settings, [factories.old()])
    send_id = ledger_work.start_send(database, settings)
    old_ledger.vacuum(database)  # autovacuum does so within a minute of a freeze
    with query_plans.explained(database) as watch:
        server = psutil.Process(database._idle[0].get_backend_pid())
        for one in ledger_work.list_work(database, settings, send_id, subscribers):
            before = sum(server.cpu_times()[:2]) + time.process_time()
            done = watch(one.do)
            cpu = sum(server.cpu_times()[:2]) + time.process_time() - before
            rows = done.count_rows(*old_ledger.GROWING)
            yield one.name, f"{done.milliseconds:,.0f}", f"{cpu * 1000:,.0f}", f"{done.pages:,}", f"{rows:,}"


def _measure_pruning(database: Database) -> Iterator[tuple[str, str]]:
    """Delete ten old sends, as a rule about the age of deliveries would, and let their space be used again."""
    steps = (
        (
            "deleting the deliveries of ten sends",
            "DELETE FROM deliveries WHERE send_id <= (SELECT min(send_id) + 9 FROM deliveries)",
        ),
        ("  the vacuum after it", "VACUUM deliveries"),
    )
    with database.glance() as tx:
        before = tx.value("SELECT pg_table_size('deliveries')")
        for name, statement in steps:
            started = time.monotonic()
            tx.script(statement)
            yield name, f"{time.monotonic() - started:.1f} s"
        tx.script("""
            INSERT INTO deliveries SELECT
                (SELECT min(id) FROM sends), subscriber_id, state, wave, attempts, claimed_at, claimed_by, address_hash,
                variant, settled_at, message_id, detail, event_kind
            FROM deliveries WHERE send_id = (SELECT min(send_id) FROM deliveries)
        """)
        grown = tx.value("SELECT pg_table_size('deliveries')") - before
    yield "  growth of the table by the next send", f"{grown / 1e6:.1f} MB"


def _measure_size(database: Database, weeks: int, subscribers: int) -> Iterator[tuple[str, str]]:
    total = 0.0
    with database.transaction() as tx:
        for table in old_ledger.GROWING:
            size = tx.value(
                "SELECT sum(pg_total_relation_size(oid))::float8 FROM pg_class WHERE oid = %(table)s::regclass OR oid IN"
                " (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass)",
                table=table,
            )
            total += size
            yield f"{table} on disk", f"{size / 1e9:.1f} GB, {size / weeks / subscribers:.0f} bytes for each email"
    years = total / weeks * _WEEKS_OF_FIVE_YEARS
    yield f"five years of a send a week to {subscribers:,}, one event for each email", f"{years / 1e9:.0f} GB"


if __name__ == "__main__":
    main()
