"""Several processes that do one work together: forked from one that watches over them, started again when they die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from mailer.core import log

events = log.get("crew")

Work = Callable[[int, threading.Event], None]

_PATIENCE = 10.0  # seconds for a process to end by itself
_LOOK = 0.2  # seconds between looks at the processes
_PAUSE = 1.0  # seconds between the starts of two that replace dead ones


def cores() -> int:
    """How many of the machine's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(size: int, work: Work, stopping: threading.Event) -> None:
    """Let so many processes do ``work`` until ``stopping`` is set, which SIGTERM must do; each has a copy of its own.

    ``work`` is also given the process's place: 0, 1 and so on; one that replaces another has the same. Nothing of the caller
    may be open that two processes cannot share (a connection to Postgres). When the caller is killed, they end.
    """
    alive, watched = os.pipe()

    def start(place: int) -> int:
        return os.fork() or _do(partial(work, place, stopping), alive, watched)

    members = {place: start(place) for place in range(size)}
    replaced = 0.0
    while not stopping.wait(_LOOK):
        members = {place: pid for place, pid in members.items() if not _ended(pid)}
        missing = set(range(size)) - set(members)
        if missing and time.monotonic() - replaced > _PAUSE:
            replaced = time.monotonic()
            events.warning("crew.replaced", missing=len(missing))
            members[min(missing)] = start(min(missing))
    _stop(set(members.values()))
    os.close(alive)
    os.close(watched)


def _do(work: Callable[[], None], alive: int, watched: int) -> NoReturn:
    status = 1
    try:
        os.close(watched)
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
        work()
        status = 0
    except Exception as error:
        events.error("crew.broke", error=type(error).__name__)
    finally:
        os._exit(status)  # what stands behind the fork is the parent's to do


def _end_with_parent(alive: int) -> None:
    """The other end of the pipe is open for as long as the parent lives."""
    os.read(alive, 1)
    os._exit(1)


def _ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def _stop(members: set[int]) -> None:
    for pid in members:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE
    while members and time.monotonic() < until:
        members = {pid for pid in members if not _ended(pid)}
        time.sleep(0.02)
    for pid in members:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
