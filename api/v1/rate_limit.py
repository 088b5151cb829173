"""How often each key is used: one moment for each key, in memory that all processes of one server share."""

from __future__ import annotations

import fcntl
import math
import mmap
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SLOTS = 1 << 16  # keys whose numbers are so far apart share one
_MOMENT = struct.Struct("d")
_HELD = 60.0  # seconds' worth that may be used at once


class Pace:
    """A bucket for each key that fills steadily and holds a minute's worth. Made before the processes are forked."""

    def __init__(self) -> None:
        self._empty_at = mmap.mmap(-1, _SLOTS * _MOMENT.size)  # for each key: until when it has used what it may (GCRA)
        self._lock = tempfile.TemporaryFile()  # noqa: SIM115 - the kernel lets it go when a process dies

    def wait(self, key_id: int, per_minute: int) -> int:
        """Seconds until the next request is taken; 0: this one is. Called by one thread of a process only."""
        if per_minute <= 0:
            return 0
        place = key_id % _SLOTS * _MOMENT.size
        with self._alone():
            now = time.monotonic()
            until: float = max(_MOMENT.unpack_from(self._empty_at, place)[0], now) + 60 / per_minute
            if until - now <= _HELD + 1e-6:
                _MOMENT.pack_into(self._empty_at, place, until)
                return 0
        return max(1, math.ceil(until - now - _HELD))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
