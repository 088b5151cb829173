"""Each process records every few seconds that it is alive, and what it did meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import mailer
from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.flows.operations.operator_notices import Notifier
from mailer.flows.operations.standstills import SILENCE, check_standstills
from mailer.store.operations import due_work, heartbeats
from mailer.store.operations.heartbeats import ProcessGroup
from mailer.store.sending import counters

logger = log.get("heartbeat")

KINDS = ("serve", "worker", "scheduler", "events")
BEAT_SECONDS = 10.0
_STOP_SECONDS = 5.0
_WORK_OF = {
    "emails": due_work.SENDS,
    "transactional_emails": due_work.TRANSACTIONAL,
    "ses_events": due_work.EVENTS,
    "webhook_attempts": due_work.WEBHOOKS,
    "payment_jobs": due_work.PAYMENTS,
    "bulk_batches": due_work.BULK_ACTIONS,
}  # by counter
_NOT_MOVED = ("throttled", "retry", "halt")  # attempts after which the email is pending as before


@dataclass(frozen=True)
class Overview:
    """The processes that run, when each kind was last seen, and since when the oldest work of each kind has been due."""

    running: list[ProcessGroup]
    last_seen: dict[str, datetime]
    due_since: dict[str, datetime]
    now: datetime

    def list_missing(self) -> list[str]:
        """List the kinds of which no process runs."""
        return [kind for kind in KINDS if kind not in {group.kind for group in self.running}]


class Heartbeat:
    """A thread of a process, for a ``with`` block: beats, and looks for standstills.

    ``backlog_since`` returns since when an event consumer's oldest message has waited.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        kind: str,
        backlog_since: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._kind = kind
        self._backlog_since = backlog_since
        self._id = 0
        self._stopping = threading.Event()
        self._notifier = Notifier(database, settings, self._stopping)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        logger.info("process.started", kind=self._kind, version=mailer.__version__)
        self._thread.start()
        self._notifier.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)
        logger.info("process.stopped", kind=self._kind)

    def beat(self) -> None:
        """Record that this process is alive, and its counts. Raises Unavailable; the counts are then kept."""
        counts = work_counts.take_counts()
        try:
            with self._database.transaction() as tx:
                if not self._id or not heartbeats.beat(tx, self._id, self._backlog_since()):
                    self._id = heartbeats.add(tx, self._kind, socket.gethostname(), mailer.__version__)
                _record_counts(tx, counts)
                counters.set_gauges(tx, work_counts.take_gauges())
        except BaseException:
            work_counts.put_back(counts)
            raise

    def _run(self) -> None:
        self._try(self.beat)
        while not self._stopping.wait(BEAT_SECONDS):
            self._try(self.beat)
            self._try(self._check)
        self._try(self._end)

    def _check(self) -> None:
        if check_standstills(self._database, self._settings):
            self._notifier.request_ping()

    def _end(self) -> None:
        self.beat()
        with self._database.transaction() as tx:
            heartbeats.mark_stopped(tx, self._id)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except PostmergeError as error:
            logger.warning("heartbeat.waits", error=str(error))
        except Exception as error:  # a bug: the process's own work must go on
            logger.exception("heartbeat.failed", error=type(error).__name__)


def read_overview(database: Database) -> Overview:
    """Read which processes run and what is due. Raises Unavailable."""
    with database.transaction() as tx:
        return Overview(
            heartbeats.list_running(tx, SILENCE),
            heartbeats.list_last_seen(tx),
            due_work.list_oldest(tx),
            tx.value("SELECT now()"),
        )


def _record_counts(tx: Tx, counts: work_counts.Counts) -> None:
    counters.add_counts(tx, {" ".join(filter(None, name)): number for name, number in counts.items()})
    heartbeats.note_moved(tx, {_WORK_OF[name] for name, label in counts if name in _WORK_OF and label not in _NOT_MOVED})
