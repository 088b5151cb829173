"""The wire: a fixed number of items carried at the same time on the process's loop; each comes back with what became of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

from mailer.core import event_loop

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 0.15  # seconds that ``collect`` waits for a whole group once something is there


class Wire(Generic[Item, Result]):
    """Carries at most ``size`` items at once; ``carry`` must not raise. Use it as a context manager, from one thread alone."""

    def __init__(self, size: int, carry: Callable[[Item], Awaitable[Result]]) -> None:
        self.size = size
        self.busy = 0
        self._carry = carry
        self._group = max(1, size // 4)
        self._loop = event_loop.shared()
        self._tasks: set[asyncio.Task[None]] = set()
        self._back: list[tuple[Item, Result]] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    @property
    def free(self) -> int:
        """How many more items can be carried at once."""
        return self.size - self.busy

    def put(self, items: Iterable[Item]) -> None:
        """Start carrying; never more than are ``free``."""
        started = list(items)
        self.busy += len(started)
        if started:
            self._loop.call_soon_threadsafe(self._start, started)

    def collect(self) -> list[tuple[Item, Result]]:
        """What came back: at once when nothing is on the wire, else a group, or what came within ``PATIENCE``, at least one."""
        if not self.busy:
            return []
        found = event_loop.wait(self._take(min(self._group, self.busy)))
        self.busy -= len(found)
        return found

    def __enter__(self) -> Wire[Item, Result]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        event_loop.wait(self._drain())

    def _start(self, items: Sequence[Item]) -> None:
        for item in items:
            task = self._loop.create_task(self._one(item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, item: Item) -> None:
        result = await self._carry(item)
        self._back.append((item, result))
        if len(self._back) >= self._wanted:
            self._enough.set()

    async def _take(self, group: int) -> list[tuple[Item, Result]]:
        await self._until(1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._until(group)
        found, self._back = self._back, []
        return found

    async def _until(self, count: int) -> None:
        self._wanted = count
        while len(self._back) < count:
            self._enough.clear()
            await self._enough.wait()

    async def _drain(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
