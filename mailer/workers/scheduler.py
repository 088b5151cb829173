"""The scheduler: each second it starts what is due in the ledger and enqueues a wake-up for each kind of pending work."""

from __future__ import annotations

import threading
import time

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.billing import billing_jobs
from mailer.flows.operations import bulk_actions, webhooks
from mailer.flows.operations.monthly_report import MonthlyReports
from mailer.flows.operations.restore_journal import JournalWriter
from mailer.flows.operations.table_pruning import TablePruning
from mailer.flows.scheduled.send_scheduler import advance_sends, check_circuit_breakers
from mailer.flows.scheduled.sequence_scheduler import queue_due_steps
from mailer.flows.scheduled.subscriber_maintenance import maintain_subscribers
from mailer.flows.scheduled.time_jumps import TimeJumps
from mailer.flows.sending.receipts import sign_finished
from mailer.workers.actors import BULK_ACTIONS, PAYMENTS, SENDS, TRANSACTIONAL, WEBHOOKS, WakeUps

logger = log.get("scheduler")

TICK_SECONDS = 1.0
WATCH_INTERVAL_SECONDS = 5.0  # how often the outcomes of running sends are checked, and all that needs no haste is done
_WATCH_PAUSES = 10  # times as long as a check took, at least: it counts all emails of the running sends
_MAX_QUEUED_WAKE_UPS = 50  # in a queue; more would only pile up while no worker runs


def run_scheduler(
    database: Database, settings: Settings, wake_ups: WakeUps, stopping: threading.Event, tick: float = TICK_SECONDS
) -> None:
    """Run rounds until ``stopping`` is set. Any error is logged, and the next tick tries again."""
    watched, took, journal, pruning = 0.0, 0.0, JournalWriter(database, settings), TablePruning(database, settings)
    reports, jumps = MonthlyReports(database, settings), TimeJumps()
    while not stopping.is_set():
        started = time.monotonic()
        try:
            run_round(database, settings, wake_ups, jumps)
            if started - watched >= max(WATCH_INTERVAL_SECONDS, _WATCH_PAUSES * took):
                watched = started
                check_circuit_breakers(database)
                took = time.monotonic() - started
                if not jumps.waiting:
                    maintain_subscribers(database, settings)
                    pruning.run_due()
                    reports.run_due()
            journal.copy_new_rows()
            if watched == started:
                sign_finished(database, settings)  # last: it needs valid keys, and the rest does not
        except PostmergeError as error:
            logger.warning("scheduler.waits", error=str(error))
        except Exception as error:  # a bug: the other sends still need the scheduler
            logger.exception("scheduler.failed", error=type(error).__name__)
        stopping.wait(max(0.05, tick - (time.monotonic() - started)))


def run_round(database: Database, settings: Settings, wake_ups: WakeUps, jumps: TimeJumps) -> None:
    """Run one round: queue steps of sequences, advance the sends and enqueue wake-ups."""
    is_time_sure = not jumps.is_waiting(database)
    if is_time_sure:
        queue_due_steps(database, settings)
    wanted = advance_sends(database, settings, start=is_time_sure)
    if wanted.sends and wake_ups.count_queued(SENDS) < _MAX_QUEUED_WAKE_UPS:
        for send_id in wanted.sends:
            wake_ups.enqueue_send(send_id)
    if wanted.transactional and wake_ups.count_queued(TRANSACTIONAL) < _MAX_QUEUED_WAKE_UPS:
        wake_ups.enqueue_transactional()
    if webhooks.has_work(database) and wake_ups.count_queued(WEBHOOKS) < _MAX_QUEUED_WAKE_UPS:
        wake_ups.enqueue_webhooks()
    if billing_jobs.has_work(database, settings) and wake_ups.count_queued(PAYMENTS) < _MAX_QUEUED_WAKE_UPS:
        wake_ups.enqueue_payments()
    if bulk_actions.has_work(database) and wake_ups.count_queued(BULK_ACTIONS) < _MAX_QUEUED_WAKE_UPS:
        wake_ups.enqueue_bulk_actions()
