"""Postgres, and, with ``asking``, the only place that knows psycopg2.

``Database`` keeps a few open connections and hands out transactions; ``Tx`` runs one statement with named parameters.
Only ``flows/`` opens transactions, and only ``store/`` writes SQL.
"""

from __future__ import annotations

import json as jsonlib
import select
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
from psycopg2.extras import Json

from mailer.core.errors import BadInput, LockTimedOut, Refused, TimedOut, Unavailable

Row = dict[str, Any]
T = TypeVar("T")
Answer = TypeVar("Answer", covariant=True)

# A machine that vanishes must keep neither a session with its locks, nor a process that waits: both ends notice in a minute.
_OPTIONS = (
    "-c timezone=UTC -c jit=off -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=60000"
)
_pooled: dict[str, bool] = {}  # by URL
_POOLER_SETTINGS = "run `ALTER DATABASE name SET timezone TO 'UTC'` and `ALTER DATABASE name SET jit TO off` in Postgres"
_POOLER_REFUSES = (
    "The pooler in DATABASE_URL refuses our startup parameters: set `ignore_startup_parameters = options, jit` in"
    f" pgbouncer.ini, and {_POOLER_SETTINGS}."
)
_POOLER_IN_ANOTHER_ZONE = f"The pooler in DATABASE_URL has sessions in another time zone than UTC: {_POOLER_SETTINGS}."
_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)


def json(value: Any) -> Any:
    """Wrap a value that goes into a ``jsonb`` column."""
    return Json(value)


def _read_json(text: str) -> Any:
    """Read a ``jsonb`` column; most are empty."""
    return {} if text == "{}" else jsonlib.loads(text)


psycopg2.extras.register_default_jsonb(loads=_read_json)


@dataclass(frozen=True)
class Question(Generic[Answer]):
    """A SELECT that each connection plans only once, because it is frequent; ``make(**row)`` turns a row into the answer."""

    sql: str
    values: Mapping[str, Any]
    make: Callable[..., Answer]


class Connection(psycopg2.extensions.connection):
    """A connection and the statements that it has prepared, with their names.

    ``pooled``: a pooler such as PgBouncer is between, so that each transaction may meet another session.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.prepared: dict[str, str] = {}
        self.pooled = False

    def plan(self, sql: str, names: Iterable[str]) -> tuple[str, str, str]:
        """Return the statement's name here, the SQL that prepares it ('' if it is prepared), and the SQL that executes it.

        Nothing is prepared in a pooler's sessions.
        """
        if self.pooled:
            return "", "", sql
        name, first = self.prepared.get(sql, ""), ""
        if not name:
            name = f"often_{len(self.prepared)}"
            first = f"PREPARE {name} AS {sql % {key: f'${place}' for place, key in enumerate(names, 1)}}"
        given = ", ".join(f"%({key})s" for key in names)
        return name, first, f"EXECUTE {name} ({given})" if given else f"EXECUTE {name}"


@dataclass(frozen=True)
class PageRange:
    """A part of a long list: ``limit`` rows, those after the key ``after``, or without a key those after ``offset`` rows."""

    limit: int
    offset: int = 0
    after: Any = None


UNSTORABLE = "The text contains a character that cannot be stored (NUL or a lone surrogate): remove it."


class Tx:
    """One open transaction. Statements take named parameters: ``%(name)s`` in the SQL, keywords in the call.

    Raises BadInput for text that Postgres does not store: NUL, lone surrogates.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, sql: str, **values: Any) -> list[Row]:
        """Return every row as a dict."""
        with self._cursor(sql, values) as cursor:
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, sql: str, **values: Any) -> Row | None:
        """Return the first row as a dict, or None."""
        with self._cursor(sql, values) as cursor:
            row = cursor.fetchone()
            return dict(zip([column.name for column in cursor.description], row, strict=True)) if row else None

    def often(self, sql: str, **values: Any) -> Row | None:
        """Like ``one``, for frequent statements: each connection plans it only once."""
        return self.one(self._planned(sql, values), **values)

    def often_all(self, sql: str, **values: Any) -> list[Row]:
        """Like ``all``, for frequent statements: each connection plans it only once."""
        return self.all(self._planned(sql, values), **values)

    def answer(self, question: Question[T]) -> T | None:
        """Return the answer to a question, or None if there is no row."""
        row = self.often(question.sql, **question.values)
        return question.make(**row) if row else None

    def value(self, sql: str, **values: Any) -> Any:
        """Return the first column of the first row, or None."""
        row = self.one(sql, **values)
        return next(iter(row.values())) if row else None

    def run(self, sql: str, **values: Any) -> int:
        """Run a statement; return how many rows it changed."""
        with self._cursor(sql, values) as cursor:
            return int(cursor.rowcount)

    def script(self, sql: str) -> None:
        """Run several statements without parameters (a migration)."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def limit_time(self, seconds: float) -> None:
        """End each later statement of this transaction after so many seconds; the transaction then raises TimedOut."""
        self.one("SELECT set_config('statement_timeout', %(limit)s, true)", limit=f"{max(1, round(seconds * 1000))}ms")

    def copy(self, sql: str, file: Any) -> int:
        """Run a COPY from or to a file-like object; return the number of rows. Raises what reading or writing it raises."""
        watched = _CopyFile(file)
        try:
            with self._connection.cursor() as cursor:
                cursor.copy_expert(sql, watched, size=1 << 18)
                return int(cursor.rowcount)
        except psycopg2.Error:
            if watched.error:
                raise watched.error from None
            raise

    def _planned(self, sql: str, values: Mapping[str, Any]) -> str:
        name, first, then = self._connection.plan(sql, values)
        if first:
            self.run(first)
            self._connection.prepared[sql] = name
        return then

    @contextmanager
    def _cursor(self, sql: str, values: Mapping[str, Any]) -> Iterator[Any]:
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql, dict(values) or None)
            except (ValueError, psycopg2.errors.UntranslatableCharacter) as error:
                raise BadInput(UNSTORABLE) from error
            yield cursor


class _CopyFile:
    """A file whose error is kept: psycopg2 reports one while reading as a statement that was cancelled."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: BaseException | None = None

    def read(self, size: int) -> Any:
        return self._keep_error(self._file.read, size)

    def write(self, data: Any) -> Any:
        return self._keep_error(self._file.write, data)

    def _keep_error(self, call: Callable[[Any], Any], value: Any) -> Any:
        try:
            return call(value)
        except BaseException as error:
            self.error = error
            raise


def connect(url: str, name: str, **more: Any) -> Connection:
    """Open a connection. Raises Unavailable if Postgres is unreachable or the URL is invalid."""
    try:
        made: Connection = psycopg2.connect(
            url,
            connection_factory=Connection,
            application_name=name,
            connect_timeout=10,
            options=_OPTIONS,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            **more,
        )
        made.pooled = is_pooled(url, None if more else made)
        return made
    except psycopg2.OperationalError as error:
        if "unsupported startup parameter" in str(error):
            raise Unavailable(_POOLER_REFUSES) from error
        raise Unavailable(unreachable(error)) from error
    except psycopg2.ProgrammingError as error:
        raise Unavailable("DATABASE_URL cannot be read: give it as postgresql://user@host:5432/name.") from error


def is_pooled(url: str, connection: Connection | None = None) -> bool:
    """Return whether a pooler is between: the server then has another process id than the one that it announced.

    It is found out once for each URL. Raises Refused for a pooler whose sessions are not in UTC.
    """
    if url not in _pooled:
        if connection is None:
            connect(url, "postmerge").close()
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid(), current_setting('TimeZone')")
                process, zone = cursor.fetchone() or (0, "")
            connection.rollback()
            pooled = process != connection.get_backend_pid()
            if pooled and zone != "UTC":
                raise Refused(_POOLER_IN_ANOTHER_ZONE)
            _pooled[url] = pooled
    return _pooled[url]


class Database:
    """A Postgres database. Safe to share between threads; each transaction has a connection to itself."""

    def __init__(self, url: str, name: str = "postmerge", keep: int = 8) -> None:
        self.url = url
        self._name = name
        self._keep = keep
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Commit when the block ends, roll back when it raises.

        Raises Unavailable when Postgres cannot be reached or is lost on the way: nothing of the block is then kept, with
        one exception that no client can tell apart: a connection lost while committing.
        """
        connection = self._take()
        try:
            yield Tx(connection)
            connection.commit()
        except psycopg2.errors.QueryCanceled as error:
            self._roll_back(connection)
            raise TimedOut("The database needed too long for this: try again later.") from error
        except psycopg2.errors.LockNotAvailable as error:
            self._roll_back(connection)
            raise LockTimedOut("Another session keeps a lock that this needs: try again later.") from error
        except BaseException as error:
            if is_lost(error):
                self._discard(connection)
                raise Unavailable(unreachable(error)) from error
            self._roll_back(connection)
            raise
        self._give_back(connection)

    @contextmanager
    def glance(self) -> Iterator[Tx]:
        """Run SELECTs that need no common snapshot: no BEGIN, no COMMIT. Raises Unavailable as above."""
        connection = self._take()
        try:
            connection.autocommit = True
            yield Tx(connection)
            connection.autocommit = False
        except BaseException as error:
            if is_lost(error):
                self._discard(connection)
                raise Unavailable(unreachable(error)) from error
            connection.close()
            raise
        self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if _is_quiet(connection):
                return connection
            connection.close()
        return connect(self.url, self._name)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < self._keep and not connection.closed:
                self._idle.append(connection)
                return
        connection.close()

    def _discard(self, connection: Connection) -> None:
        """Discard a connection. If it was lost, its idle siblings usually are too (a restarted server)."""
        connection.close()
        self.close()

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.rollback()
            self._give_back(connection)
        except _LOST:
            self._discard(connection)


def _is_quiet(connection: Connection) -> bool:
    """Is an idle connection as it was left? A readable one was usually closed by a restarted server."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def is_lost(error: BaseException) -> bool:
    """Is the connection lost? If a server dies while it responds, psycopg2 raises a bare DatabaseError without a code."""
    return isinstance(error, _LOST) or (type(error) is psycopg2.DatabaseError and error.pgcode is None)


def is_unique_violation(error: BaseException) -> bool:
    """Did a UNIQUE constraint reject the row, because another transaction was first?"""
    return isinstance(error, psycopg2.errors.UniqueViolation)


def is_unfit_row(error: BaseException) -> bool:
    """Did Postgres reject a row, because a value has the wrong type or breaks a constraint?"""
    return isinstance(error, psycopg2.errors.DataError | psycopg2.errors.IntegrityError)


def each(rows: Sequence[Row], make: Callable[..., T]) -> list[T]:
    """Convert rows to objects: ``each(rows, Send)`` calls ``Send(**row)`` for each."""
    return [make(**row) for row in rows]


def unreachable(error: BaseException) -> str:
    """Describe an unreachable Postgres and what to do, in one sentence."""
    first_line = (str(error).strip() or "no answer").splitlines()[0]
    return f"Postgres cannot be reached ({first_line}): check that it runs and that DATABASE_URL is right."


def split_password(url: str) -> tuple[str, str]:
    """Split a URL of Postgres into one without the password, and the password ('' if there is none)."""
    parts = psycopg2.extensions.parse_dsn(url)
    password = parts.pop("password", "")
    return str(psycopg2.extensions.make_dsn(**parts)), str(password)
