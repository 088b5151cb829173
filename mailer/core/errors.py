"""The few errors a person may see: each message is one sentence with what was wrong and what to do."""

from __future__ import annotations


class PostmergeError(Exception):
    """Base of every error whose message is meant for the person at the keyboard (exit code 1)."""


class BadInput(PostmergeError):
    """Something the user wrote (front matter, setting, option, address) cannot be used as it is.

    ``field`` names it for programs, where one field of a request is meant: ``metadata.ids``.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class BadRule(BadInput):
    """An audience rule cannot be read, or says more than one rule may."""


class Mistyped(BadInput):
    """What somebody typed into a form of ours cannot be used. ``text`` with its ``%(name)s`` is in every catalogue.

    ``exactly`` says it in English where more is known.
    """

    def __init__(self, text: str, exactly: str = "", field: str = "", **values: object) -> None:
        super().__init__(exactly or (text % values if values else text), field)
        self.text = text
        self.values = values


class TooManyRequests(Mistyped):
    """A limit on requests is used up; the same request is accepted later."""


class Refused(PostmergeError):
    """A guard said no; the message names what was found and, where it is safe, the way past it."""

    def __init__(self, message: str, guard: str = "") -> None:
        super().__init__(message)
        self.guard = guard


class Unavailable(PostmergeError):
    """A service we stand on (Postgres, Redis, a port) cannot be reached just now."""


class TimedOut(Unavailable):
    """A statement took longer than ``Tx.limit_time`` allows."""
