"""A list of millions: audience rules, the freeze of an audience, claims and the import of more subscribers.

    .venv/bin/python -m bench.large_list --subscribers 10000000 --imported 1000000

Subscribers have up to three of six tags, and one in a thousand a rare one. Postgres is durable, with its default settings.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench import imports as bench_imports
from bench.databases import fresh_database
from bench.figures import Figures, parser
from mailer.core import audience, log
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.subscribers import imports
from mailer.flows.subscribers.imports import ImportRequest
from mailer.store.sending import audiences, deliveries
from tests import factories
from tests.integration.publishing.test_publish import Limits
from tests.old_ledger import without_indexes, without_triggers

RULES = ("everyone", "python and not sport", "rare", "python or sport or paris")
_ADDED = """
    INSERT INTO subscribers (email, email_normal, state, tags, confirmed_at)
    SELECT address, address, 'active', array_remove(ARRAY[
        CASE WHEN mod(n, 2) = 0 THEN 'python' END, CASE WHEN mod(n, 3) = 0 THEN 'sport' END,
        CASE WHEN mod(n, 10) = 0 THEN 'paris' END, CASE WHEN mod(n, 1000) = 0 THEN 'rare' END
    ], NULL), now()
    FROM generate_series(%(first)s, %(last)s) AS n, format('subscriber-%%s@host-%%s.example', n, mod(n, 5000)) AS address
"""
_AT_ONCE = 500_000  # subscribers in one transaction
_CLAIMS = 100  # of 96 deliveries


def main() -> None:
    """Run the bench."""
    command = parser(__doc__)
    command.add_argument("--subscribers", type=int, default=100_000)
    command.add_argument("--imported", type=int, default=10_000)
    given = command.parse_args()
    log.configure("error")
    with fresh_database("large-list") as (database, folder):
        rows = measure(database, factories.settings(folder, first_slice=100.0), folder, given.subscribers, given.imported)
    Figures("large-list", (f"{given.subscribers:,} subscribers", "figure"), rows).show(given.save)


def measure(database: Database, settings: Settings, folder: Path, subscribers: int, imported: int) -> list[tuple[str, str]]:
    """Fill the list and time what is done with it."""
    adopt_issues(database, settings, [factories.old()])
    rows = _Rows()
    filled = _time(lambda: _fill(database, subscribers))
    rows.append(("adding them by SQL, then the indexes", f"{filled:.0f} s, {subscribers / filled:,.0f} a second"))
    for rule in RULES:
        seconds, number = _count(database, rule)
        rows.append((f"counting the audience `{rule}`: {number:,}", f"{seconds:.1f} s"))
    frozen = _time(lambda: _start(database, settings))
    rows.append((f"publishing and starting: an audience of {subscribers:,} is frozen and analyzed", f"{frozen:.0f} s"))
    rows.append((f"claims of 96, {_CLAIMS} of them", f"{_time(lambda: _claim(database)) / _CLAIMS * 1000:.0f} ms each"))
    for row in _import(database, settings, folder, imported):
        rows.append(row)
    with database.transaction() as tx:
        for table in ("subscribers", "deliveries"):
            size = tx.value(f"SELECT pg_total_relation_size('{table}')")
            rows.append((f"{table} on disk", f"{size / 1e9:.1f} GB"))
    return rows


class _Rows(list[tuple[str, str]]):
    """Rows that are also reported as they come: ten million subscribers take an hour."""

    def append(self, row: tuple[str, str]) -> None:
        super().append(row)
        print(": ".join(row), file=sys.stderr, flush=True)


def _fill(database: Database, number: int) -> None:
    with without_indexes(database, "subscribers"):
        for start in range(0, number, _AT_ONCE):
            with without_triggers(database) as tx:
                tx.run(_ADDED, first=start + 1, last=min(start + _AT_ONCE, number))
    with database.transaction() as tx:
        for kind, key in (("block", "id / 1024"), ("tag", "unnest(tags)")):
            tx.run(f"INSERT INTO tallies (kind, key, number) SELECT '{kind}', {key}, count(*) FROM subscribers GROUP BY 2")
        tx.run("INSERT INTO tags (name) SELECT key FROM tallies WHERE kind = 'tag'")
    with database.glance() as tx:
        tx.script("VACUUM ANALYZE subscribers")


def _count(database: Database, rule: str) -> tuple[float, int]:
    started = time.monotonic()
    with database.transaction() as tx:
        number = audiences.count(tx, audience.parse(rule))
    return time.monotonic() - started, number


def _start(database: Database, settings: Settings) -> None:
    publish(database, settings, [factories.old(), factories.edition()], [], Limits(), Request())
    advance_sends(database, settings)


def _claim(database: Database) -> None:
    with database.transaction() as tx:
        send_id = tx.value("SELECT max(id) FROM sends")
    for _ in range(_CLAIMS):
        with database.transaction() as tx:
            claimed, _touched = deliveries.claim(tx, send_id, str(uuid.uuid4()), 96)
        assert len(claimed) == 96


def _import(database: Database, settings: Settings, folder: Path, lines: int) -> list[tuple[str, str]]:
    request = ImportRequest(folder / "list.csv", evidence="the old list's own confirmations, 2016 to 2026")
    bench_imports.write_list(request.path, lines)
    planned = _time(lambda: imports.plan_import(database, settings, request))
    applied = _time(lambda: imports.apply_import(database, settings, request))
    return [(f"importing {lines:,} more: plan", f"{planned:.0f} s"), ("  apply, in one transaction", f"{applied:.0f} s")]


def _time(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


if __name__ == "__main__":
    main()
