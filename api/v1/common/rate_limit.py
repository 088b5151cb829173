"""Rate limits of API keys: one timestamp for each key (GCRA), in a file that all processes of one server share as memory."""

from __future__ import annotations

import fcntl
import math
import mmap
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    """Limits requests for each key, with a burst of one minute's worth, for all processes that share the file at ``path``."""

    def __init__(self, path: Path | None = None) -> None:
        size = _SLOTS * _TIMESTAMP.size
        self._file = path.open("a+b") if path else tempfile.TemporaryFile()  # noqa: SIM115 - locked and mapped until the end
        self._file.truncate(size)
        self._empty_at = mmap.mmap(self._file.fileno(), size)  # for each key: the theoretical arrival time of GCRA

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
        fcntl.lockf(self._file, fcntl.LOCK_EX)  # the kernel lets it go when a process dies
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
