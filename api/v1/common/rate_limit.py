"""Rate limits of API keys: one timestamp for each key (GCRA), in memory that all processes of one server share."""

from __future__ import annotations

import fcntl
import math
import mmap
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_SLOTS = 1 << 16  # keys whose ids differ by a multiple of this share a slot
_TIMESTAMP = struct.Struct("d")
_BURST_SECONDS = 60.0  # seconds' worth of requests allowed at once


class RequestAllowance(NamedTuple):
    """What a key may do now: seconds to wait (0: go ahead), requests left, seconds until all of them are back."""

    wait: int
    remaining: int
    reset: int


class RequestRateLimiter:
    """Limits requests for each key, with a burst of one minute's worth. Create it before the processes are forked."""

    def __init__(self) -> None:
        self._empty_at = mmap.mmap(-1, _SLOTS * _TIMESTAMP.size)  # for each key: the theoretical arrival time of GCRA
        self._lock = tempfile.TemporaryFile()  # noqa: SIM115 - the kernel lets it go when a process dies

    def count_request(self, key_id: int, per_minute: int) -> RequestAllowance:
        """Count a request of a key, unless it has to wait. Call it from one thread of a process only."""
        place = key_id % _SLOTS * _TIMESTAMP.size
        with self._exclusive():
            now = time.monotonic()
            until: float = max(_TIMESTAMP.unpack_from(self._empty_at, place)[0], now) + 60 / per_minute
            if until - now <= _BURST_SECONDS + 1e-6:
                _TIMESTAMP.pack_into(self._empty_at, place, until)
                left = int((_BURST_SECONDS - until + now) * per_minute / 60 + 1e-6)
                return RequestAllowance(0, left, math.ceil(until - now))
        wait = max(1, math.ceil(until - now - _BURST_SECONDS))
        return RequestAllowance(wait, 0, wait)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
