"""The wire: a fixed number of threads that each carry one item at a time and hand back what became of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 0.05  # seconds that ``collect`` waits for a whole group


class Wire(Generic[Item, Result]):
    """``size`` threads; ``carry`` must not raise. Use it as a context manager; one thread alone puts and collects."""

    def __init__(self, size: int, carry: Callable[[Item], Result]) -> None:
        self.size = size
        self.busy = 0
        self._carry = carry
        self._group = max(1, size // 4)
        self._in: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[tuple[Item, Result]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def free(self) -> int:
        """How many more items can be carried at once."""
        return self.size - self.busy

    def put(self, items: Iterable[Item]) -> None:
        """Start carrying; never more than are ``free``."""
        for item in items:
            self.busy += 1
            if self.busy > len(self._threads):
                self._threads.append(threading.Thread(target=self._work, name="wire", daemon=True))
                self._threads[-1].start()
            self._in.put(item)

    def collect(self) -> list[tuple[Item, Result]]:
        """What came back: at once when nothing is on the wire, else a group, or what came within ``PATIENCE``, at least one."""
        found: list[tuple[Item, Result]] = []
        wanted = min(self._group, self.busy)
        while len(found) < wanted:
            try:
                found.append(self._out.get(timeout=PATIENCE if found else None))
            except queue.Empty:
                break
        while not self._out.empty():
            found.append(self._out.get())
        self.busy -= len(found)
        return found

    def __enter__(self) -> Wire[Item, Result]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for _ in self._threads:
            self._in.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._in.get()) is not None:
            self._out.put((item, self._carry(item)))
