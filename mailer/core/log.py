"""Log lines are events with stable dotted names and ids; addresses never appear in them.

structlog writes them: readable lines on a terminal, JSON otherwise. When ``SENTRY_DSN`` is configured (through
:class:`mailer.settings.Settings`), errors go to Sentry too, without personal data.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import structlog

_WORD = re.compile(r"\S+")  # with an @ in the pattern, each position in a long word would be tried as a beginning
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


def without_addresses(text: str) -> str:
    """Replace each word that contains ``@`` in another program's message by ``(address)``."""
    return _WORD.sub(lambda word: "(address)" if "@" in word[0] else word[0], text)


def configure(level: str = "info", sentry_dsn: str = "", process: str = "") -> None:
    """Log events of ``level`` and above to standard error; call it once when a process starts."""
    _waiting[:] = [partial(_configure, level, process)]
    if process:
        _waiting[0]()
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    if sentry_dsn:
        _start_sentry(sentry_dsn)


def _configure(level: str, process: str) -> None:
    import structlog

    _waiting.clear()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
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


def _start_sentry(dsn: str) -> None:
    import sentry_sdk

    sentry_sdk.init(dsn=dsn, send_default_pii=False, include_local_variables=False)
