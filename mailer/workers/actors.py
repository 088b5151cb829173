"""Dramatiq: doorbells. A message carries a send's id and says "look at the ledger"; losing one loses nothing.

Queues: ``sends`` for issues, ``transactional`` for single mails, ``payments`` for Stripe, ``webhooks``, and ``bulk`` for the
API's bulk actions, each with worker threads of its own, so that a confirmation never waits behind a send. No retries and no
time limit on any actor: the ledger and the scheduler do that work, and both of Dramatiq's would copy or interrupt a running
send. ``heartbeat_timeout`` and ``maintenance_chance`` bring messages of a killed worker back after about 15 s instead of
minutes (measured with Dramatiq 2.2).
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
from mailer.core.rate_budget import Shared
from mailer.core.settings import Settings
from mailer.flows.billing import billing_jobs
from mailer.flows.operations import webhooks
from mailer.flows.sending import fence
from mailer.flows.sending.delivery_worker import deliver
from mailer.flows.sending.send_rate import Pace
from mailer.flows.subscribers import bulk_actions as bulk
from mailer.flows.transactional.transactional_worker import deliver_some
from mailer.transports.base import Transport

events = log.get("actors")

SENDS = "sends"
TRANSACTIONAL = "transactional"
PAYMENTS = "payments"
WEBHOOKS = "webhooks"
BULK = "bulk"


@dataclass(frozen=True)
class Work:
    """What the actors of a worker process need."""

    database: Database
    settings: Settings
    transport: Transport
    site_name: str


class Bell:
    """Rings doorbells. Ringing is a best effort: without Redis the scheduler rings again when it is back."""

    def __init__(self, redis_url: str) -> None:
        self.broker = make_broker(redis_url)

    def ring_send(self, send_id: int) -> bool:
        """Ask any worker to look at a send; whether Redis took it."""
        return self._ring(SENDS, "deliver_send", send_id)

    def ring_transactional(self) -> bool:
        """Ask any worker to look at the transactional mails; whether Redis took it."""
        return self._ring(TRANSACTIONAL, "deliver_transactional")

    def ring_payments(self) -> bool:
        """Ask any worker to look at what Stripe said; whether Redis took it."""
        return self._ring(PAYMENTS, "look_at_payments")

    def ring_webhooks(self) -> bool:
        """Ask any worker to look at what webhooks wait for; whether Redis took it."""
        return self._ring(WEBHOOKS, "deliver_webhooks")

    def ring_bulk(self) -> bool:
        """Ask any worker to look at the bulk actions; whether Redis took it."""
        return self._ring(BULK, "work_on_bulk")

    def waiting(self, queue: str) -> int:
        """Messages in a queue; 0 when Redis cannot be asked (a bell too many does no harm)."""
        try:
            return int(self.broker.client.llen(f"{self.broker.namespace}:{queue}"))
        except redis.exceptions.RedisError:
            return 0

    def _ring(self, queue: str, actor: str, *args: int) -> bool:
        message: dramatiq.Message[None] = dramatiq.Message(queue_name=queue, actor_name=actor, args=args, kwargs={}, options={})
        try:
            self.broker.declare_queue(queue)
            self.broker.enqueue(message)
            return True
        except (redis.exceptions.RedisError, dramatiq.errors.BrokerError, OSError) as error:
            events.warning("doorbell.lost", queue=queue, error=type(error).__name__)
            return False


def make_broker(redis_url: str) -> RedisBroker:
    """The Redis (or Valkey) broker with only the middleware that this design can bear."""
    return RedisBroker(  # type: ignore[no-untyped-call]
        url=redis_url,
        middleware=[ShutdownNotifications()],
        heartbeat_timeout=15_000,
        maintenance_chance=1_000_000,
        socket_connect_timeout=5,
    )


class Workshop:
    """The worker threads of one process: ``bulk`` for sends, one for transactional mails."""

    def __init__(self, work: Work, bulk: int = 2) -> None:
        self.stopping = threading.Event()
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._work = work
        self._pace = Pace(work.transport, Shared(work.settings.redis_url))
        self._bell = Bell(work.settings.redis_url)
        self._workers = [self._worker(SENDS, bulk), self._worker(TRANSACTIONAL, 1), self._worker(PAYMENTS, 1)]
        self._workers += [self._worker(WEBHOOKS, 1), self._worker(BULK, 1)]

    def start(self) -> None:
        """Start the threads. A machine that is new to a ledger which never sent joins it now."""
        try:
            if trouble := fence.enter(self._work.database, self._work.settings):
                events.error("worker.fenced", reason=trouble)
        except PostmergeError as error:
            events.warning("worker.fence_unknown", error=str(error))
        for worker in self._workers:
            worker.start()

    def stop(self, seconds: float = 30) -> None:
        """Finish the groups that are on the wire, then stop. At most ``seconds``."""
        self.stopping.set()
        with ThreadPoolExecutor(len(self._workers)) as side_by_side:
            list(side_by_side.map(lambda worker: worker.stop(timeout=int(seconds * 1000)), self._workers))

    def _worker(self, queue: str, threads: int) -> dramatiq.Worker:
        broker = make_broker(self._work.settings.redis_url)
        if queue == SENDS:
            dramatiq.actor(actor_name="deliver_send", queue_name=queue, broker=broker)(self._send)
        elif queue == PAYMENTS:
            dramatiq.actor(actor_name="look_at_payments", queue_name=queue, broker=broker)(self._payments)
        elif queue == WEBHOOKS:
            dramatiq.actor(actor_name="deliver_webhooks", queue_name=queue, broker=broker)(self._webhooks)
        elif queue == BULK:
            dramatiq.actor(actor_name="work_on_bulk", queue_name=queue, broker=broker)(self._bulk)
        else:
            dramatiq.actor(actor_name="deliver_transactional", queue_name=queue, broker=broker)(self._transactional)
        return dramatiq.Worker(broker, queues={queue}, worker_threads=threads, worker_timeout=500)

    def _send(self, send_id: int) -> None:
        """Stretch after stretch, with a bell between two so that other sends get their turn; without Redis it goes on here."""
        more = True
        while more:
            with self._lock:
                if send_id in self._busy:
                    return
                self._busy.add(send_id)
            try:
                more = self._stretch(send_id)
            except PostmergeError as error:
                events.error("send.waits", send=send_id, error=str(error))
                more = False
            finally:
                with self._lock:
                    self._busy.discard(send_id)
            more = more and not self.stopping.is_set() and not self._bell.ring_send(send_id)

    def _stretch(self, send_id: int) -> bool:
        """Deliver for a while, inside the fence; whether more is to do."""
        work = self._work
        if not fence.may_send(work.database, work.settings, send_id):
            return False
        done = deliver(work.database, work.settings, work.transport, send_id, stopping=self.stopping.is_set, pace=self._pace)
        if done.sent:
            fence.enter(work.database, work.settings)
        return done.more

    def _transactional(self) -> None:
        work = self._work
        try:
            if trouble := fence.look(work.database, work.settings).trouble:
                events.error("transactional.fenced", reason=trouble)
                return
            while not self.stopping.is_set():
                if not deliver_some(work.database, work.settings, work.transport, work.site_name, self._pace):
                    break
        except PostmergeError as error:
            events.error("transactional.waits", error=str(error))

    def _webhooks(self) -> None:
        """Post what webhooks wait for; a copy of the ledger tells nobody anything."""
        work = self._work
        try:
            if fence.look(work.database, work.settings).trouble:
                return
            while webhooks.deliver_some(work.database, work.settings) and not self.stopping.is_set():
                pass
        except PostmergeError as error:
            events.error("webhooks.wait", error=str(error))

    def _bulk(self) -> None:
        """Work on bulk actions until none is left."""
        try:
            while bulk.work(self._work.database, self._work.settings) and not self.stopping.is_set():
                pass
            self._bell.ring_transactional()
        except PostmergeError as error:
            events.error("bulk.waits", error=str(error))

    def _payments(self) -> None:
        """Work on events of Stripe, and once a day compare everything with it."""
        try:
            while billing_jobs.work(self._work.database, self._work.settings) and not self.stopping.is_set():
                self._bell.ring_transactional()
        except PostmergeError as error:
            events.error("payments.wait", error=str(error))
