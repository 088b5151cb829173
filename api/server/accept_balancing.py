"""Balances new connections: of the processes on one socket, the one with the fewest connections accepts the next.

The event loop's own way accepts all pending connections at once, so that one process may get every client.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import socket
from collections.abc import Callable

from mailer.core import log

logger = log.get("http")

_DELAY_SECONDS = 0.002  # seconds to wait, for each connection that this process has more than the least busy one
_MAX_DELAYS = 10  # at most so many of them, so that no client waits for a process that is busy for long
_ERROR_PAUSE_SECONDS = 0.5  # seconds to pause after an error, such as too many open files
_COUNT_BYTES = 4  # of a count


def shared_counts(size: int) -> memoryview:
    """The number of connections of each process, in shared memory. Create it before the processes are forked."""
    return memoryview(mmap.mmap(-1, size * _COUNT_BYTES)).cast("i")


class ConnectionAcceptor:
    """Accepts connections from a listening socket until stopped. ``counts[place]`` is its count, which ``count`` returns."""

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
        self._handshakes: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._start()

    def stop(self) -> None:
        """Accept no more: another process answers new clients, or they find the port closed."""
        self._stopped = True
        self._loop.remove_reader(self._listening)
        self._listening.close()

    @property
    def is_busy(self) -> bool:
        """Whether a connection was accepted whose protocol does not run yet."""
        return bool(self._handshakes)

    def publish_count(self) -> None:
        """Publish the own number of connections."""
        self._counts[self._place] = self._count() + len(self._handshakes)

    def _start(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self._listening, self._on_readable)

    def _on_readable(self) -> None:
        self.publish_count()
        more = self._counts[self._place] - min(self._counts)
        if more <= 0:
            return self._accept()
        self._loop.remove_reader(self._listening)
        self._loop.call_later(_DELAY_SECONDS * min(more, _MAX_DELAYS), self._accept_late)

    def _accept_late(self) -> None:
        if not self._stopped:
            self._start()
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another process accepted it, or the client is gone
        except OSError as error:
            logger.error("connections.wait", error=error.strerror)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_ERROR_PAUSE_SECONDS, self._start)
            return
        task = self._loop.create_task(self._start_protocol(connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)
        self.publish_count()

    async def _start_protocol(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(self._protocol, connection)
