"""One asyncio loop for a process, in a thread of its own: what waits on many sockets waits here, without a thread for each."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_lock = threading.Lock()
_made: list[asyncio.AbstractEventLoop] = []


def new() -> asyncio.AbstractEventLoop:
    """A new loop: uvloop's where there is one (not on Windows), which takes less of the processor."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def shared() -> asyncio.AbstractEventLoop:
    """The loop of this process; started at the first call, it runs until the process ends."""
    with _lock:
        if not _made:
            loop = new()
            threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()
            _made.append(loop)
        return _made[0]


def wait(work: Coroutine[Any, Any, Result]) -> Result:
    """Run something on the shared loop and wait for what it gives or raises. Never call it from the loop itself."""
    return asyncio.run_coroutine_threadsafe(work, shared()).result()
