"""Log lines are events with stable dotted names and ids; addresses never appear in them.

structlog writes them: readable lines on a terminal, JSON otherwise. When ``SENTRY_DSN`` is configured (through
:class:`mailer.core.settings.Settings`), errors go to Sentry too, without personal data.
"""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Later:
    """A logger that loads structlog with its first event: most commands log nothing, and the import is slow."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import structlog

        for configured in _waiting[:]:
            configured()
        return getattr(structlog.get_logger(part=self._name), method)


_waiting: list[Callable[[], None]] = []


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger whose events are named like ``delivery.accepted`` and carry ids as keywords."""
    return cast("structlog.stdlib.BoundLogger", _Later(name))


def get_request_id() -> str:
    """The id of the HTTP request, or of the job, that this work belongs to; empty outside of one."""
    import structlog

    return str(structlog.contextvars.get_contextvars().get("request", ""))


@contextmanager
def in_request(request_id: str = "") -> Iterator[None]:
    """Let the block's log lines, and the emails it queues, name this request; a job without one gets an id of its own."""
    import structlog

    with structlog.contextvars.bound_contextvars(request=request_id or secrets.token_hex(8)):
        yield


def configure(level: str = "info", sentry_dsn: str = "", process: str = "") -> None:
    """Log events of ``level`` and above to standard error; call it once when a process starts."""
    _waiting[:] = [partial(_configure, level, process, bool(sentry_dsn))]
    if process:
        _waiting[0]()
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    if sentry_dsn:
        from mailer.core.telemetry import sentry

        sentry.start(sentry_dsn, process)


def _configure(level: str, process: str, with_sentry: bool) -> None:
    import structlog

    from mailer.core.telemetry import sentry

    _waiting.clear()
    to_sentry: list[structlog.typing.Processor] = [sentry.report_errors] if with_sentry else []
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *to_sentry,
            structlog.processors.format_exc_info,
            _renderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level, 20)),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(**({"process": process} if process else {}))


def _renderer() -> Any:
    import structlog

    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer()
    return structlog.processors.JSONRenderer()
