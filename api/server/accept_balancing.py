"""New connections: of several processes on one socket, the one that has fewest takes the next.

The loop's own way takes all that wait at once, and so one process may get every client while the others have none.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import socket
from collections.abc import Callable

from mailer.core import log

events = log.get("http")

_TURN = 0.002  # seconds in which one that has fewer may be quicker, for each connection that it has fewer
_TURNS = 10  # of which so many at most, lest a process that is busy for long keeps clients waiting
_REST = 0.5  # seconds without taking any, when the system gives no more (too many open files)
_SIZE = 4  # bytes of a number


def shared_counts(size: int) -> memoryview:
    """How many connections each of so many processes has; made before they are forked."""
    return memoryview(mmap.mmap(-1, size * _SIZE)).cast("i")


class ConnectionAcceptor:
    """Takes connections from a listening socket until it is stopped. ``counts[place]`` is ours, ``count`` says how many."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        counts: memoryview,
        place: int,
        count: Callable[[], int],
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._protocol = protocol
        self._counts = counts
        self._place = place
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._begun: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._start()

    def stop(self) -> None:
        """Take no more; whoever knocks now is answered by another process, or finds the port closed."""
        self._stopped = True
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def tell(self) -> None:
        """Let the others know how many we have."""
        self._counts[self._place] = self._count() + len(self._begun)

    def _start(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self._listening, self._look)

    def _look(self) -> None:
        self.tell()
        more = self._counts[self._place] - min(self._counts)
        if more <= 0:
            return self._take()
        self._loop.remove_reader(self._listening)
        self._loop.call_later(_TURN * min(more, _TURNS), self._take_late)

    def _take_late(self) -> None:
        if not self._stopped:
            self._start()
            self._take()

    def _take(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another process was quicker, or the client has gone
        except OSError as error:
            events.error("connections.wait", error=error.strerror)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_REST, self._start)
            return
        task = self._loop.create_task(self._begin(connection))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        self.tell()

    async def _begin(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(self._protocol, connection)
