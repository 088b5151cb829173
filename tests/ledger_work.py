"""What processes and pages do with the ledger, as one piece of work each: tests and benches look at what it reads."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest

from mailer.core.db import Database, PageRange
from mailer.core.settings import Settings
from mailer.exchange.email_outcomes import EventKind
from mailer.flows.events.email_events import record_events
from mailer.flows.operations import api_records, growth, monthly_report
from mailer.flows.operations.desk import desk_overview
from mailer.flows.operations.metrics import LedgerCollector
from mailer.flows.operations.standstills import check_standstills
from mailer.flows.operations.table_pruning import prune_tables, sum_up
from mailer.flows.publishing.publish import Request, publish
from mailer.flows.scheduled.send_scheduler import advance_sends, check_circuit_breakers
from mailer.flows.sending.send_report import make_report
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.sending.ses_quota import wait_for_quota
from mailer.flows.sending.uncertain_deliveries import list_uncertain
from mailer.flows.subscribers.erasure import erase_subscriber
from mailer.store.sending import deliveries, sends
from mailer.webhooks.ses_events import SesEvent
from tests import factories
from tests.integration.publishing.test_publish import Limits

CLAIMED = 96  # deliveries, as a worker with 96 connections claims them
_SHOWN = 20  # sends, as `postmerge status` shows them


@dataclass(frozen=True)
class LedgerWork:
    """A piece of work that may read so many rows of the ledger; ``whole``: it is rare and reads all events."""

    name: str
    do: Callable[[], object]
    reads: int = 0
    whole: bool = False


def start_send(database: Database, settings: Settings) -> int:
    """Publish one more issue, start its send, and return its id."""
    [send_id] = publish(database, settings, [factories.old(), factories.edition()], [], Limits(), Request()).send_ids
    advance_sends(database, settings)
    return send_id


def list_work(database: Database, settings: Settings, send_id: int, audience: int) -> list[LedgerWork]:
    """What is done while this send runs, in an order in which each finds its rows."""
    claim, registry = str(uuid.uuid4()), CollectorRegistry()
    registry.register(LedgerCollector(database, settings))
    ids: list[int] = []

    def claim_some() -> None:
        with database.transaction() as tx:
            claimed, _ = deliveries.claim(tx, send_id, claim, CLAIMED)
            ids[:] = [one.subscriber_id for one in claimed]
        assert len(ids) == CLAIMED

    def settle() -> None:
        answered = [deliveries.Settlement(one, "accepted", f"message-{one}") for one in ids]
        with database.transaction() as tx:
            assert deliveries.settle(tx, send_id, claim, answered) == CLAIMED

    def report(kind: EventKind, number: int, **more: object) -> None:
        at = datetime.now(UTC)
        events = [SesEvent(kind, at, f"message-{one}", send_id, one, detail="250 2.0.0 OK") for one in ids[:number]]
        done = record_events(database, settings, [replace(event, **more) for event in events])  # type: ignore[arg-type]
        assert done.recorded == number

    def wait_for_the_quota() -> None:
        wait_for_quota(database, send_id)
        with database.transaction() as tx:
            sends.clear_backoffs(tx, "")

    def growth_of_a_month() -> object:
        return growth.measure_growth(database, settings, 30)

    month = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    last = f"send:{send_id - 1}"
    return [
        LedgerWork("claim of 96 deliveries", claim_some, 2 * CLAIMED),
        LedgerWork("settling them", settle, CLAIMED),
        LedgerWork("96 events", lambda: report(EventKind.DELIVERY, CLAIMED), 4 * CLAIMED),
        LedgerWork("an event without our tags", lambda: report(EventKind.SEND, 1, send_id=0, subscriber_id=0), 1),
        LedgerWork("a soft bounce", lambda: report(EventKind.SOFT_BOUNCE, 1), 1),
        LedgerWork("a complaint", lambda: report(EventKind.COMPLAINT, 1), 1),
        LedgerWork("a round of the scheduler", lambda: advance_sends(database, settings)),
        LedgerWork("circuit breakers (the running send)", lambda: check_circuit_breakers(database), audience),
        LedgerWork("when the quota returns (sends of 24 hours)", wait_for_the_quota, 2 * audience),
        LedgerWork("a look for standstills", lambda: check_standstills(database, settings), audience),
        LedgerWork("a scrape of the metrics", lambda: generate_latest(registry), audience),
        LedgerWork("summing up one old send", lambda: _sum_up_one(database), audience),
        LedgerWork("summing up all old sends and months, once", lambda: sum_up(database), whole=True),
        LedgerWork("`postmerge status` (20 sends)", lambda: list_send_statuses(database, limit=_SHOWN), 6 * audience),
        LedgerWork("`postmerge status --all`", lambda: list_send_statuses(database), 6 * audience),
        LedgerWork("`postmerge report` (one send)", lambda: make_report(database, last), 8 * audience),
        LedgerWork("`postmerge uncertain`", lambda: list_uncertain(database)),
        LedgerWork("the desk's first page", lambda: desk_overview.read_overview(database, settings)),
        LedgerWork("the desk's sends", lambda: desk_overview.read_progress(database), audience),
        LedgerWork("the desk's bounces of 30 days", lambda: desk_overview.list_bouncing_domains(database, 30), audience),
        LedgerWork("growth of 30 days", growth_of_a_month, whole=True),
        LedgerWork(
            "the monthly report", lambda: monthly_report.collect_facts(database, settings, month.replace(day=1)), whole=True
        ),
        LedgerWork("a page of GET /v1/events", lambda: _list_events(database), 7 * audience),
        LedgerWork("  of one subscriber", lambda: _list_events(database, subscriber_id=7), 1000),
        LedgerWork("erasing a subscriber", lambda: erase_subscriber(database, settings, ids[-1]), 1000),
        LedgerWork("deleting what is kept long enough", lambda: prune_tables(database)),
    ]


def _sum_up_one(database: Database) -> None:
    with database.transaction() as tx:
        deliveries.sum_up_old_send(tx, timedelta(days=30))


def _list_events(database: Database, **where: object) -> object:
    return api_records.list_events(database, where, PageRange(100), newest_first=True)
