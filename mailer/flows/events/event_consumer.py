"""Intake: events come from a queue by several threads, are recorded in large batches, and are deleted only when committed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, Full
from queue import Queue as Inbox

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.flows.events import mail_events
from mailer.flows.events.mail_events import Taken
from mailer.store.sending import sends
from mailer.transports.sqs import Letter, Queue

events = log.get("events")

FETCHERS = 8
RECORDERS = 2
_GROUP = 1000  # messages a transaction
_POLL = 10  # seconds of one long poll
_WAITING = 50  # groups of ten that may wait for a recorder
_PAUSE = 1.0  # seconds until the next try when something is away
GENTLE = 3000  # events a second while a send has mails to hand over, so that a backlog does not slow it
_LOOK = 1.0  # seconds between two looks whether one has


@dataclass
class Intake:
    """Takes events in until stopped. ``total`` counts what was done so far."""

    database: Database
    settings: Settings
    queue: Queue
    stopping: threading.Event
    poll: int = _POLL
    total: Taken = field(default_factory=Taken)
    _inbox: Inbox[list[Letter]] = field(default_factory=lambda: Inbox(_WAITING))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _broken: PostmergeError | None = None
    _looked: float = 0.0
    _sending: bool = False

    def run(self) -> Taken:
        """Until stopped. What is fetched and not recorded then comes again. Raises Refused when the queue's set-up is wrong."""
        for number in range(FETCHERS):
            threading.Thread(target=self._fetch, name=f"fetch-{number}", daemon=True).start()
        with ThreadPoolExecutor(FETCHERS, "delete") as deleters:
            recorders = [threading.Thread(target=self._record, args=(deleters,), name="record") for _ in range(RECORDERS)]
            for one in recorders:
                one.start()
            for one in recorders:
                one.join()
        if self._broken:
            raise self._broken
        return self.total

    def _fetch(self) -> None:
        while not self.stopping.is_set():
            try:
                letters = self.queue.receive(self.poll)
            except Refused as error:
                self._broken = error
                self.stopping.set()
                return
            except Unavailable as error:
                events.warning("queue.unavailable", error=str(error))
                self.stopping.wait(_PAUSE)
                continue
            if letters:
                self._put(letters)

    def _put(self, letters: list[Letter]) -> None:
        while not self.stopping.is_set():
            try:
                return self._inbox.put(letters, timeout=0.2)
            except Full:
                continue

    def _record(self, deleters: ThreadPoolExecutor) -> None:
        while not self.stopping.is_set():
            if letters := self._group():
                self._take(letters)
                deleters.submit(self._delete, [letter.receipt for letter in letters])
                if self._is_sending():
                    self.stopping.wait(len(letters) * RECORDERS / GENTLE)

    def _is_sending(self) -> bool:
        """Does a send have mails to hand over? Looked up once in a while."""
        with self._lock:
            if time.monotonic() - self._looked < _LOOK:
                return self._sending
            with contextlib.suppress(Unavailable), self.database.transaction() as tx:
                self._sending = bool(sends.list_with_pending(tx))
            self._looked = time.monotonic()
            return self._sending

    def _group(self) -> list[Letter]:
        """Everything that waits, up to a thousand messages; waits a moment for the first."""
        letters: list[Letter] = []
        with contextlib.suppress(Empty):
            letters += self._inbox.get(timeout=0.2)
            while len(letters) < _GROUP:
                letters += self._inbox.get_nowait()
        return letters

    def _take(self, letters: Sequence[Letter]) -> None:
        bodies = [letter.body for letter in letters]
        while True:
            try:
                self._count(mail_events.take(self.database, self.settings, bodies))
                return
            except Unavailable as error:
                events.warning("event.recording_waits", messages=len(bodies), error=str(error))
                time.sleep(_PAUSE)
            except Exception as error:
                events.exception("event.batch_broke", messages=len(bodies), error=type(error).__name__)
                self._take_one_by_one(bodies)
                return

    def _take_one_by_one(self, bodies: Sequence[str]) -> None:
        while True:
            try:
                return self._count(mail_events.take_one_by_one(self.database, self.settings, bodies))
            except Unavailable as error:
                events.warning("event.recording_waits", messages=len(bodies), error=str(error))
                time.sleep(_PAUSE)

    def _delete(self, receipts: Sequence[str]) -> None:
        try:
            self.queue.delete(receipts)
        except PostmergeError as error:
            events.warning("queue.not_deleted", messages=len(receipts), error=str(error))

    def _count(self, taken: Taken) -> None:
        with self._lock:
            self.total = self.total + taken
        events.debug("event.taken", **vars(taken))
