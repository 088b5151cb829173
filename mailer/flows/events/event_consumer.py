"""The event consumer: threads fetch events from a queue, record them in large batches, and delete them once committed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, Full
from queue import Queue as Inbox

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.flows.events import email_events
from mailer.flows.events.email_events import EventCounts
from mailer.store.sending import sends
from mailer.transports.sqs import Queue, QueueMessage

logger = log.get("events")

FETCHERS = 8
RECORDERS = 2
_MAX_MESSAGES_A_BATCH = 1000  # in one transaction
_POLL_SECONDS = 10  # of one long poll
_MAX_WAITING_GROUPS = 50  # groups of ten that may wait for a recorder
_RETRY_SECONDS = 1.0  # after a service was unavailable
MAX_RATE_WHILE_SENDING = (
    3000  # events a second while a send has pending emails, so that a backlog of events does not slow it down
)
_SENDING_CHECK_SECONDS = 1.0  # between two such checks


@dataclass
class EventConsumer:
    """Processes events until stopped. ``total`` is the sum so far."""

    database: Database
    settings: Settings
    queue: Queue
    stopping: threading.Event
    poll: int = _POLL_SECONDS
    total: EventCounts = field(default_factory=EventCounts)
    _inbox: Inbox[list[QueueMessage]] = field(default_factory=lambda: Inbox(_MAX_WAITING_GROUPS))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _setup_error: PostmergeError | None = None
    _checked_at: float = 0.0
    _sending: bool = False
    _backlog_since: datetime | None = None

    def run(self) -> EventCounts:
        """Run until stopped; unrecorded messages are delivered again. Raises Refused if the queue is set up wrongly."""
        for number in range(FETCHERS):
            threading.Thread(target=self._fetch_messages, name=f"fetch-{number}", daemon=True).start()
        with ThreadPoolExecutor(FETCHERS, "delete") as deleters:
            recorders = [
                threading.Thread(target=self._record_messages, args=(deleters,), name="record") for _ in range(RECORDERS)
            ]
            for one in recorders:
                one.start()
            for one in recorders:
                one.join()
        if self._setup_error:
            raise self._setup_error
        return self.total

    def find_backlog(self) -> datetime | None:
        """When the queue got the oldest message of the latest batch; None while there is nothing to record."""
        return self._backlog_since

    def _fetch_messages(self) -> None:
        while not self.stopping.is_set():
            try:
                messages = self.queue.receive(self.poll)
            except Refused as error:
                self._setup_error = error
                self.stopping.set()
                return
            except Unavailable as error:
                logger.warning("queue.unavailable", error=str(error))
                self.stopping.wait(_RETRY_SECONDS)
                continue
            if messages:
                self._enqueue(messages)

    def _enqueue(self, messages: list[QueueMessage]) -> None:
        while not self.stopping.is_set():
            try:
                return self._inbox.put(messages, timeout=0.2)
            except Full:
                continue

    def _record_messages(self, deleters: ThreadPoolExecutor) -> None:
        while not self.stopping.is_set():
            if messages := self._next_batch():
                self._process(messages)
                deleters.submit(self._delete_messages, [message.receipt for message in messages])
                if self._is_sending():
                    self.stopping.wait(len(messages) * RECORDERS / MAX_RATE_WHILE_SENDING)

    def _is_sending(self) -> bool:
        """Return whether a send has pending emails, as of the latest check."""
        with self._lock:
            if time.monotonic() - self._checked_at < _SENDING_CHECK_SECONDS:
                return self._sending
            with contextlib.suppress(Unavailable), self.database.transaction() as tx:
                self._sending = bool(sends.list_with_pending(tx))
            self._checked_at = time.monotonic()
            return self._sending

    def _next_batch(self) -> list[QueueMessage]:
        """Return the waiting messages, a thousand at most; wait briefly for the first."""
        messages: list[QueueMessage] = []
        with contextlib.suppress(Empty):
            messages += self._inbox.get(timeout=0.2)
            while len(messages) < _MAX_MESSAGES_A_BATCH:
                messages += self._inbox.get_nowait()
        self._backlog_since = min((message.sent_at for message in messages if message.sent_at), default=None)
        return messages

    def _process(self, messages: Sequence[QueueMessage]) -> None:
        bodies = [message.body for message in messages]
        while True:
            try:
                self._add_counts(email_events.process_messages(self.database, self.settings, bodies))
                return
            except Unavailable as error:
                logger.warning("event.recording_waits", messages=len(bodies), error=str(error))
                time.sleep(_RETRY_SECONDS)
            except Exception as error:
                logger.exception("event.batch_broke", messages=len(bodies), error=type(error).__name__)
                self._process_one_by_one(bodies)
                return

    def _process_one_by_one(self, bodies: Sequence[str]) -> None:
        while True:
            try:
                return self._add_counts(email_events.process_one_by_one(self.database, self.settings, bodies))
            except Unavailable as error:
                logger.warning("event.recording_waits", messages=len(bodies), error=str(error))
                time.sleep(_RETRY_SECONDS)

    def _delete_messages(self, receipts: Sequence[str]) -> None:
        try:
            self.queue.delete(receipts)
        except PostmergeError as error:
            logger.warning("queue.not_deleted", messages=len(receipts), error=str(error))

    def _add_counts(self, counts: EventCounts) -> None:
        with self._lock:
            self.total = self.total + counts
        for result, number in vars(counts).items():
            if number:
                work_counts.count("ses_events", result, number)
        logger.debug("event.processed", **vars(counts))
