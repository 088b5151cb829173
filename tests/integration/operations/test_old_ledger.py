"""However old the ledger is, daily work reads only what is young: shown by the plans of what it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.core.db import Database, PageRange
from mailer.exchange.email_outcomes import EventKind
from mailer.flows.events.email_events import record_events
from mailer.flows.operations import api_records
from mailer.flows.operations.table_pruning import sum_up
from mailer.flows.publishing.publish import adopt_issues
from mailer.flows.sending.send_status import list_send_statuses
from mailer.store.sending import deliveries
from mailer.webhooks.ses_events import SesEvent
from tests import ledger_work, old_ledger, query_plans, services
from tests.factories import old, settings
from tests.query_plans import Work

WEEKS, SUBSCRIBERS = 40, 500
LEDGER = ("deliveries", "delivery_events", "events")


@pytest.fixture(scope="module")
def aged(postgres_url: str) -> Iterator[tuple[Database, dict[str, tuple[ledger_work.LedgerWork, Work]]]]:
    """A ledger of 40 weeks, and what each piece of work ran on it."""
    with services.migrated(postgres_url) as url:
        database = Database(url)
        old_ledger.fill(database, WEEKS, SUBSCRIBERS)
        conf = settings(Path("/nonexistent"), url)
        adopt_issues(database, conf, [old()])
        send_id = ledger_work.start_send(database, conf)
        with query_plans.explained(database) as watch:
            done = [(one, watch(one.do)) for one in ledger_work.list_work(database, conf, send_id, SUBSCRIBERS)]
        yield database, {one.name: (one, work) for one, work in done}
        database.close()


Aged = tuple[Database, dict[str, tuple[ledger_work.LedgerWork, Work]]]


def test_no_work_but_the_rare_reads_all_deliveries_or_all_events(aged: Aged) -> None:
    _, done = aged
    assert len(done) > 20
    for name, (one, work) in done.items():
        assert not work.scans & {"deliveries", "delivery_events"}, name
        assert one.whole or work.count_rows(*LEDGER) <= one.reads + SUBSCRIBERS, name


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim of 96 deliveries", "deliveries_pending"),
        ("settling them", "deliveries_pkey"),
        ("an event without our tags", "deliveries_by_message"),
        ("a complaint", "delivery_events_complaints"),
        ("a round of the scheduler", "deliveries_claimed"),
        ("a look for standstills", "deliveries_pending"),
        ("`postmerge uncertain`", "deliveries_uncertain"),
        ("the desk's sends", "deliveries_pending"),
        ("erasing a subscriber", "deliveries_by_subscriber"),
    ],
)
def test_work_finds_its_rows_by_an_index_of_only_these(aged: Aged, name: str, index: str) -> None:
    assert index in aged[1][name][1].indexes


def test_sums_of_old_sends_and_months_are_what_counting_finds(aged: Aged) -> None:
    database, _ = aged
    with database.transaction() as tx:
        assert tx.value("SELECT count(DISTINCT send_id) FROM delivery_sums") > WEEKS - 10
        counted = tx.all("SELECT send_id, state, count(*)::int AS number FROM deliveries GROUP BY 1, 2")
        events = tx.value(
            "SELECT count(*) FROM events WHERE type IN ('subscriber.delivered', 'subscriber.bounced', 'subscriber.complained')"
        )
    expected: dict[int, dict[str, int]] = {}
    for row in counted:
        expected.setdefault(row["send_id"], {})[row["state"]] = row["number"]
    found = {one.send.id: {state: n for state, n in one.deliveries.items() if n} for one in list_send_statuses(database)}
    assert found == expected
    _, number = api_records.list_events(database, {}, PageRange(1), newest_first=True)
    assert number == events


def count_complained(database: Database, send_id: int) -> int:
    [found] = list_send_statuses(database, f"send:{send_id}")
    return found.deliveries["complained"]


def report_complaint(database: Database, send_id: int) -> None:
    with database.transaction() as tx:
        wanted = "send_id = %(id)s AND state = 'delivered'"
        who = tx.value(f"SELECT subscriber_id FROM deliveries WHERE {wanted} LIMIT 1", id=send_id)
    event = SesEvent(EventKind.COMPLAINT, datetime.now(UTC), "", send_id, who)
    assert record_events(database, settings(Path("/nonexistent")), [event]).recorded == 1


def test_a_late_event_is_in_the_counts_of_an_old_send(database: Database) -> None:
    old_ledger.fill(database, 12, 20)
    assert sum_up(database) > 0
    with database.transaction() as tx:
        oldest = tx.value("SELECT min(id) FROM sends")
    before = count_complained(database, oldest)
    report_complaint(database, oldest)
    assert count_complained(database, oldest) == before + 1
    assert sum_up(database) == 1
    assert count_complained(database, oldest) == before + 1
    assert sum_up(database) == 0


def test_an_event_that_comes_while_its_send_is_summed_up_is_counted(database: Database) -> None:
    old_ledger.fill(database, 6, 20)
    with database.transaction() as tx:
        oldest = tx.value("SELECT min(id) FROM sends")
    before = count_complained(database, oldest)
    thread = threading.Thread(target=report_complaint, args=(database, oldest))
    with database.transaction() as tx:
        assert deliveries.sum_up_old_send(tx, timedelta(days=30))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "the event must wait until the sums are stored"
    thread.join()
    assert count_complained(database, oldest) == before + 1
