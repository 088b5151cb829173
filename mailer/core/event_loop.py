"""The asyncio loop of a process, in a thread of its own: it waits on many sockets without a thread for each."""

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
    """Create a loop: uvloop's where available (not on Windows), which takes less CPU."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def shared() -> asyncio.AbstractEventLoop:
    """Return the loop of this process. The first call starts it; it runs until the process ends."""
    with _lock:
        if not _made:
            loop = new()
            threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()
            _made.append(loop)
        return _made[0]


def wait(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on the shared loop and return its result. Never call it from the loop itself."""
    return asyncio.run_coroutine_threadsafe(work, shared()).result()
