"""Dramatiq: wake-ups. A message contains only ids and means "look at the ledger"; losing one loses nothing.

The queues are ``sends``, ``transactional``, ``payments`` (Stripe), ``webhooks`` and ``bulk`` (the API's bulk actions). Each
has worker threads of its own, so that a confirmation never waits behind a send. Actors have neither retries nor time
limits: the ledger and the scheduler do that work, and Dramatiq's own would duplicate or interrupt a running send.
``heartbeat_timeout`` and ``maintenance_chance`` requeue the messages of a killed worker after about 15 s instead of minutes
(measured with Dramatiq 2.2).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import ShutdownNotifications

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.rate_limiter import SharedRateLimiter
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.flows.billing import billing_jobs
from mailer.flows.operations import bulk_actions, webhooks
from mailer.flows.operations.restore_journal import JournalWriter
from mailer.flows.sending import fence
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_rate import SendRate
from mailer.flows.subscribers import suppression_lifting
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.transports.base import Transport

logger = log.get("actors")

SENDS = "sends"
TRANSACTIONAL = "transactional"
PAYMENTS = "payments"
WEBHOOKS = "webhooks"
BULK_ACTIONS = "bulk"


@dataclass(frozen=True)
class WorkerContext:
    """What the actors of a worker process need."""

    database: Database
    settings: Settings
    transport: Transport
    site_name: str


class WakeUps:
    """Enqueues wake-ups, best-effort: what is lost while Redis is unavailable, the scheduler enqueues again."""

    def __init__(self, redis_url: str) -> None:
        self.broker = make_broker(redis_url)

    def enqueue_send(self, send_id: int) -> bool:
        """Wake a worker for a send; returns whether Redis accepted the message."""
        return self._enqueue(SENDS, "deliver_send", send_id)

    def enqueue_transactional(self) -> bool:
        """Wake a worker for the transactional emails; returns whether Redis accepted the message."""
        return self._enqueue(TRANSACTIONAL, "deliver_transactional")

    def enqueue_payments(self) -> bool:
        """Wake a worker for Stripe's events; returns whether Redis accepted the message."""
        return self._enqueue(PAYMENTS, "process_payments")

    def enqueue_webhooks(self) -> bool:
        """Wake a worker for pending webhook messages; returns whether Redis accepted the message."""
        return self._enqueue(WEBHOOKS, "deliver_webhooks")

    def enqueue_bulk_actions(self) -> bool:
        """Wake a worker for the bulk actions; returns whether Redis accepted the message."""
        return self._enqueue(BULK_ACTIONS, "run_bulk_actions")

    def count_queued(self, queue: str) -> int:
        """How many messages a queue has; 0 when Redis is unavailable (a redundant wake-up does no harm)."""
        try:
            return int(self.broker.client.llen(f"{self.broker.namespace}:{queue}"))
        except redis.exceptions.RedisError:
            return 0

    def _enqueue(self, queue: str, actor: str, *args: int) -> bool:
        message: dramatiq.Message[None] = dramatiq.Message(queue_name=queue, actor_name=actor, args=args, kwargs={}, options={})
        try:
            self.broker.declare_queue(queue)
            self.broker.enqueue(message)
            return True
        except (redis.exceptions.RedisError, dramatiq.errors.BrokerError, OSError) as error:
            logger.warning("wake_up.lost", queue=queue, error=type(error).__name__)
            return False


def make_broker(redis_url: str) -> RedisBroker:
    """The Redis (or Valkey) broker, with only the middleware that suits this design."""
    return RedisBroker(  # type: ignore[no-untyped-call]
        url=redis_url,
        middleware=[ShutdownNotifications()],
        heartbeat_timeout=15_000,
        maintenance_chance=1_000_000,
        socket_connect_timeout=5,
    )


class WorkerThreads:
    """The worker threads of one process: ``send_threads`` for sends, one for each other queue."""

    def __init__(self, work: WorkerContext, send_threads: int = 2) -> None:
        self.stopping = threading.Event()
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._work = work
        self._rate = SendRate(work.transport, SharedRateLimiter(work.settings.redis_url))
        self._wake_ups = WakeUps(work.settings.redis_url)
        self._journal = JournalWriter(work.database, work.settings)
        self._workers = [self._make_worker(SENDS, send_threads), self._make_worker(TRANSACTIONAL, 1)]
        self._workers += [self._make_worker(queue, 1) for queue in (PAYMENTS, WEBHOOKS, BULK_ACTIONS)]

    def start(self) -> None:
        """Start the threads. If the ledger has never sent, a new machine creates its fence file now."""
        try:
            if trouble := fence.advance_fence(self._work.database, self._work.settings):
                logger.error("worker.fenced", reason=trouble)
        except PostmergeError as error:
            logger.warning("worker.fence_unknown", error=str(error))
        for worker in self._workers:
            worker.start()

    def stop(self, seconds: float = 30) -> None:
        """Wait for the emails in flight, for ``seconds`` at most, then stop."""
        self.stopping.set()
        with ThreadPoolExecutor(len(self._workers)) as side_by_side:
            list(side_by_side.map(lambda worker: worker.stop(timeout=int(seconds * 1000)), self._workers))

    def _make_worker(self, queue: str, threads: int) -> dramatiq.Worker:
        broker = make_broker(self._work.settings.redis_url)
        if queue == SENDS:
            dramatiq.actor(actor_name="deliver_send", queue_name=queue, broker=broker)(self._deliver_send)
        elif queue == PAYMENTS:
            dramatiq.actor(actor_name="process_payments", queue_name=queue, broker=broker)(self._process_payments)
        elif queue == WEBHOOKS:
            dramatiq.actor(actor_name="deliver_webhooks", queue_name=queue, broker=broker)(self._deliver_webhooks)
        elif queue == BULK_ACTIONS:
            dramatiq.actor(actor_name="run_bulk_actions", queue_name=queue, broker=broker)(self._run_bulk_actions)
        else:
            dramatiq.actor(actor_name="deliver_transactional", queue_name=queue, broker=broker)(self._deliver_transactional)
        return dramatiq.Worker(broker, queues={queue}, worker_threads=threads, worker_timeout=500)

    def _deliver_send(self, send_id: int) -> None:
        """Deliver a send turn by turn, enqueuing it again after each one so that other sends get a turn.

        Without Redis, the next turn runs here.
        """
        more = True
        while more:
            with self._lock:
                if send_id in self._busy:
                    return
                self._busy.add(send_id)
            try:
                more = self._deliver_turn(send_id)
            except PostmergeError as error:
                logger.error("send.waits", send=send_id, error=str(error))
                more = False
            finally:
                with self._lock:
                    self._busy.discard(send_id)
            more = more and not self.stopping.is_set() and not self._wake_ups.enqueue_send(send_id)

    def _deliver_turn(self, send_id: int) -> bool:
        """Deliver for a while if the fence allows it; returns whether work is left."""
        work = self._work
        if not fence.advance_or_back_off(work.database, work.settings, send_id):
            self.stopping.wait(fence.BACKOFF.total_seconds())  # meanwhile, other machines get the wake-ups
            return False
        self._journal.copy_new_rows()
        done = deliver_send(
            work.database, work.settings, work.transport, send_id, stopping=self.stopping.is_set, rate=self._rate
        )
        if done.sent:
            fence.advance_fence(work.database, work.settings)
        return done.more

    def _deliver_transactional(self) -> None:
        work = self._work
        try:
            if trouble := fence.read_fence(work.database, work.settings).problem:
                logger.error("transactional.fenced", reason=trouble)
                return
            suppression_lifting.clear_provider_list(work.database, work.transport)
            while not self.stopping.is_set():
                if not deliver_batch(work.database, work.settings, work.transport, work.site_name, self._rate):
                    break
        except PostmergeError as error:
            logger.error("transactional.waits", error=str(error))

    def _deliver_webhooks(self) -> None:
        """Post pending webhook messages, unless this database is a copy of the ledger."""
        work = self._work
        try:
            if fence.read_fence(work.database, work.settings).problem:
                return
            webhooks.deliver_messages(work.database, work.settings, stopping=self.stopping)
        except PostmergeError as error:
            logger.error("webhooks.wait", error=str(error))

    def _run_bulk_actions(self) -> None:
        """Run bulk actions until none is left."""
        try:
            while bulk_actions.work_batch(self._work.database, self._work.settings) and not self.stopping.is_set():
                work_counts.count("bulk_batches")
            self._wake_ups.enqueue_transactional()
        except PostmergeError as error:
            logger.error("bulk.waits", error=str(error))

    def _process_payments(self) -> None:
        """Process Stripe's events, and once a day compare everything with Stripe."""
        try:
            while billing_jobs.run_pending(self._work.database, self._work.settings) and not self.stopping.is_set():
                work_counts.count("payment_jobs")
                self._wake_ups.enqueue_transactional()
        except PostmergeError as error:
            logger.error("payments.wait", error=str(error))
