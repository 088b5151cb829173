"""Frequent queries to Postgres from an event loop, without a thread and with half the work."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions

from mailer.core.db import Connection, Question, connect, is_lost, unreachable
from mailer.core.errors import Unavailable

T = TypeVar("T")

_CONNECT_TIMEOUT_SECONDS = 10.0


class Asker:
    """A pool of at most ``most`` connections for one event loop; queries wait for a free one. Not thread-safe."""

    def __init__(self, url: str, name: str = "postmerge", most: int = 8) -> None:
        self._url = url
        self._name = name
        self._left = most
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def ask(self, question: Question[T]) -> T | None:
        """Return the answer, or None if there is no row. Raises Unavailable if Postgres cannot be reached or is lost."""
        connection = await self._take()
        try:
            name, first, then = connection.plan(question.sql, question.values)
            with connection.cursor() as cursor:
                if first:
                    await _run(connection, cursor, first, {})
                    connection.prepared[question.sql] = name
                await _run(connection, cursor, then, question.values)
                row = cursor.fetchone()
                names = [column.name for column in cursor.description or ()]
        except BaseException as error:  # also if the caller was cancelled: the response may be only partly read
            if is_lost(error):
                self._lose(*self._idle, connection)  # a restarted server has usually closed the idle ones too
                self._idle.clear()
                raise Unavailable(unreachable(error)) from error
            self._lose(connection)
            raise
        self._idle.append(connection)
        self._next()
        return question.make(**dict(zip(names, row, strict=True))) if row else None

    async def _take(self) -> Connection:
        while not self._idle and not self._left:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        if self._idle:
            return self._idle.pop()
        self._left -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(None, _open, self._url, self._name)
        except BaseException:
            self._left += 1
            self._next()
            raise

    def _lose(self, *connections: Connection) -> None:
        for one in connections:
            one.close()
            self._left += 1
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                return turn.set_result(None)


def _open(url: str, name: str) -> Connection:
    """Open a connection for a loop, in a thread: resolving the host name blocks."""
    connection = connect(url, name, async_=True)
    try:
        while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
            reads = state == psycopg2.extensions.POLL_READ
            with selectors.DefaultSelector() as selector:  # select() fails for file numbers above 1023
                selector.register(connection, selectors.EVENT_READ if reads else selectors.EVENT_WRITE)
                if not selector.select(_CONNECT_TIMEOUT_SECONDS):
                    raise psycopg2.OperationalError("it does not answer")
    except psycopg2.OperationalError as error:
        connection.close()
        raise Unavailable(unreachable(error)) from error
    return connection


async def _run(connection: Connection, cursor: Any, sql: str, values: Mapping[str, Any]) -> None:
    cursor.execute(sql, values or None)
    loop, fd = asyncio.get_running_loop(), connection.fileno()
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        ready = loop.create_future()
        reads = state == psycopg2.extensions.POLL_READ
        (loop.add_reader if reads else loop.add_writer)(fd, _set, ready)
        try:
            await ready
        finally:
            (loop.remove_reader if reads else loop.remove_writer)(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
