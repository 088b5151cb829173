"""The few errors that a person may see: one sentence with what is wrong and what to do."""

from __future__ import annotations


class PostmergeError(Exception):
    """Base of every error whose message is meant for the person at the keyboard (exit code 1)."""


class BadInput(PostmergeError):
    """Something the user wrote (front matter, setting, option, address) is invalid.

    ``field`` names it for programs, where one field of a request is meant: ``metadata.ids``.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class BadRule(BadInput):
    """An audience rule cannot be parsed, or exceeds a limit."""


class Mistyped(BadInput):
    """What somebody typed into a form is invalid. ``text`` with its ``%(name)s`` is in every catalogue.

    ``exactly`` says it in English where more is known.
    """

    def __init__(self, text: str, exactly: str = "", field: str = "", **values: object) -> None:
        super().__init__(exactly or (text % values if values else text), field)
        self.text = text
        self.values = values


class TooManyRequests(Mistyped):
    """A limit on requests is used up; the same request is accepted later."""


class Refused(PostmergeError):
    """Refused, by preflight for example. The message names what was found and, where it is safe, the way past it."""

    def __init__(self, message: str, guard: str = "") -> None:
        super().__init__(message)
        self.guard = guard


class Unavailable(PostmergeError):
    """A service that we depend on (Postgres, Redis, a port) is unavailable."""


class ServiceUnavailable(Unavailable):
    """A service other than the database is unavailable; the message may be shown to clients."""


class TimedOut(Unavailable):
    """A statement took longer than ``Tx.limit_time`` allows."""


class LockTimedOut(Unavailable):
    """A statement waited for a lock longer than ``lock_timeout`` allows."""
