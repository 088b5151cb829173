"""Send a bounded number of items concurrently on the process's event loop and collect the result of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

from mailer.core import event_loop

Item = TypeVar("Item")
Result = TypeVar("Result")

GROUP_WAIT_SECONDS = 0.15  # how long ``collect_results`` waits for a full group after the first result


class ConcurrentSender(Generic[Item, Result]):
    """Sends at most ``size`` items at once; ``send`` must not raise. A context manager, to be used from a single thread."""

    def __init__(self, size: int, send: Callable[[Item], Awaitable[Result]]) -> None:
        self.size = size
        self.in_flight = 0
        self._send = send
        self._group = max(1, size // 4)
        self._loop = event_loop.shared()
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: list[tuple[Item, Result]] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    @property
    def free_slots(self) -> int:
        """How many more items can be started now."""
        return self.size - self.in_flight

    def start(self, items: Iterable[Item]) -> None:
        """Start sending these items: at most ``free_slots`` of them."""
        started = list(items)
        self.in_flight += len(started)
        if started:
            self._loop.call_soon_threadsafe(self._create_tasks, started)

    def collect_results(self) -> list[tuple[Item, Result]]:
        """Wait for a full group of results, or for those that arrive within ``GROUP_WAIT_SECONDS`` of the first.

        Returns an empty list at once when nothing is in flight.
        """
        if not self.in_flight:
            return []
        found = event_loop.wait(self._collect_group(min(self._group, self.in_flight)))
        self.in_flight -= len(found)
        return found

    def __enter__(self) -> ConcurrentSender[Item, Result]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        event_loop.wait(self._wait_for_tasks())

    def _create_tasks(self, items: Sequence[Item]) -> None:
        for item in items:
            task = self._loop.create_task(self._send_item(item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_item(self, item: Item) -> None:
        result = await self._send(item)
        self._results.append((item, result))
        if len(self._results) >= self._wanted:
            self._enough.set()

    async def _collect_group(self, group: int) -> list[tuple[Item, Result]]:
        await self._wait_for_results(1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GROUP_WAIT_SECONDS):
                await self._wait_for_results(group)
        found, self._results = self._results, []
        return found

    async def _wait_for_results(self, count: int) -> None:
        self._wanted = count
        while len(self._results) < count:
            self._enough.clear()
            await self._enough.wait()

    async def _wait_for_tasks(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
