"""The clock: every second it tends the ledger and rings a doorbell for each piece of work that waits."""

from __future__ import annotations

import threading
import time

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.billing import billing_jobs
from mailer.flows.operations import webhooks
from mailer.flows.operations.operator_notices import post_notices
from mailer.flows.scheduled.send_scheduler import tend, watch
from mailer.flows.scheduled.subscriber_maintenance import upkeep
from mailer.flows.subscribers import bulk_actions
from mailer.workers.actors import BULK, PAYMENTS, SENDS, TRANSACTIONAL, WEBHOOKS, Bell

events = log.get("scheduler")

TICK = 1.0  # seconds
WATCH_EVERY = 5.0  # seconds between two looks at the outcomes of running sends
_ENOUGH = 50  # bells in a queue; more would only pile up while no worker runs


def run(database: Database, settings: Settings, bell: Bell, stopping: threading.Event, tick: float = TICK) -> None:
    """Tend until ``stopping`` is set. Trouble, whatever it is, is logged and tried again at the next tick."""
    watched = 0.0
    while not stopping.is_set():
        started = time.monotonic()
        try:
            once(database, settings, bell)
            if started - watched >= WATCH_EVERY:
                watched = started
                watch(database)
                upkeep(database, settings)
                post_notices(database, settings)
        except PostmergeError as error:
            events.warning("scheduler.waits", error=str(error))
        except Exception as error:  # a fault of ours: the other sends still need the clock
            events.exception("scheduler.broke", error=type(error).__name__)
        stopping.wait(max(0.05, tick - (time.monotonic() - started)))


def once(database: Database, settings: Settings, bell: Bell) -> None:
    """One round."""
    bells = tend(database, settings)
    if bells.sends and bell.waiting(SENDS) < _ENOUGH:
        for send_id in bells.sends:
            bell.ring_send(send_id)
    if bells.transactional and bell.waiting(TRANSACTIONAL) < _ENOUGH:
        bell.ring_transactional()
    if webhooks.has_work(database) and bell.waiting(WEBHOOKS) < _ENOUGH:
        bell.ring_webhooks()
    if billing_jobs.has_work(database, settings) and bell.waiting(PAYMENTS) < _ENOUGH:
        bell.ring_payments()
    if bulk_actions.has_work(database) and bell.waiting(BULK) < _ENOUGH:
        bell.ring_bulk()
