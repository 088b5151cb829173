"""Notice that the database's time jumped ahead, so that a wrong time sends no step or digest early, and deletes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.store.operations import database_facts

logger = log.get("scheduler")

MAX_TIME_JUMP = timedelta(minutes=10)  # between what the database's time and what our own measure gained
JUMP_DELAY_SECONDS = 900.0  # a wrong time is usually corrected in minutes; a right one costs the steps this wait


def read_uptime() -> float:
    """Return a number of seconds that no change of the system's time moves; Linux counts sleep too."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


@dataclass
class TimeJumps:
    """Compares the database's time with a measure of our own from round to round. ``waiting`` is what the last round found."""

    uptime: Callable[[], float] = field(default=read_uptime)
    _last: tuple[datetime, float] | None = None
    _waits_until: float = 0
    waiting: bool = False

    def is_waiting(self, database: Database) -> bool:
        """Whether the database's time jumped ahead lately and has not come back."""
        with database.transaction() as tx:
            now, uptime = database_facts.read(tx).now, self.uptime()
        if self._last:
            seen, before = self._last
            jump = now - seen - timedelta(seconds=uptime - before)
            if jump > MAX_TIME_JUMP:
                self._waits_until = uptime + JUMP_DELAY_SECONDS
                logger.warning("scheduler.wait_after_time_jump", jump=str(jump), seconds=JUMP_DELAY_SECONDS)
            elif jump < -MAX_TIME_JUMP:
                self._waits_until = 0
        self._last = now, uptime
        self.waiting = uptime < self._waits_until
        return self.waiting
