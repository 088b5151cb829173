"""Pre-forked worker processes: a parent forks them, watches them, and replaces those that die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from mailer.core import log

logger = log.get("crew")

Work = Callable[[int, threading.Event], None]

_MAX_STOP_SECONDS = 10.0  # for a process to end after SIGTERM
_CHECK_SECONDS = 0.2  # between checks of the processes
_RESTART_SECONDS = 1.0  # between the starts of two replacements


def cores() -> int:
    """The number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(size: int, work: Work, stopping: threading.Event) -> None:
    """Run ``work`` in ``size`` forked processes until ``stopping`` is set, which a SIGTERM handler must do.

    ``work`` gets the process's index, 0 to ``size`` - 1; a replacement has the index of the process it replaces. The caller
    must not have anything open that processes cannot share, such as a connection to Postgres. If the caller is killed, the
    processes end.
    """
    alive, watched = os.pipe()

    def start(place: int) -> int:
        return os.fork() or _run_child(partial(work, place, stopping), alive, watched)

    workers = {place: start(place) for place in range(size)}
    replaced = 0.0
    while not stopping.wait(_CHECK_SECONDS):
        workers = {place: pid for place, pid in workers.items() if not _has_ended(pid)}
        missing = set(range(size)) - set(workers)
        if missing and time.monotonic() - replaced > _RESTART_SECONDS:
            replaced = time.monotonic()
            logger.warning("crew.replaced", missing=len(missing))
            workers[min(missing)] = start(min(missing))
    _stop_children(set(workers.values()))
    os.close(alive)
    os.close(watched)


def _run_child(work: Callable[[], None], alive: int, watched: int) -> NoReturn:
    status = 1
    try:
        os.close(watched)
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
        work()
        status = 0
    except Exception as error:
        logger.error("crew.broke", error=type(error).__name__)
    finally:
        os._exit(status)  # the code after the fork belongs to the parent


def _end_with_parent(alive: int) -> None:
    """Exit when the parent dies: it holds the other end of the pipe open as long as it lives."""
    os.read(alive, 1)
    os._exit(1)


def _has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def _stop_children(workers: set[int]) -> None:
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _MAX_STOP_SECONDS
    while workers and time.monotonic() < until:
        workers = {pid for pid in workers if not _has_ended(pid)}
        time.sleep(0.02)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
