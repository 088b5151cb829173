"""Errors to Sentry: our own log events of level error and above, with ids and no addresses; nothing else is collected.

Sentry's own integrations stay off. They report other programs' log lines (a Redis outage would be a hundred fatal errors), send
URLs that contain subscribers' tokens, and add headers to the requests that we send to other servers. Events wait in a bounded
queue and are posted by a thread: a Sentry that hangs delays nothing, and loses events.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import mailer
from mailer.core.characters import without_addresses

_LEVELS = {"error": "error", "exception": "error", "critical": "fatal"}
_REPEAT_SECONDS = 600.0  # the same error is reported once in so long by each process
_MAX_REMEMBERED = 1000  # errors
_STOP_SECONDS = 2  # to post what waits when the process ends
_NO_TAGS = ("event", "level", "exc_info", "timestamp", "error")

_reported: dict[tuple[str, str, str], float] = {}
_lock = threading.Lock()


def start(dsn: str, process: str) -> None:
    """Report errors of this process to ``dsn``; call it once."""
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.threading import ThreadingIntegration

    sentry_sdk.init(
        dsn=dsn,
        release=f"postmerge@{mailer.__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[AtexitIntegration(callback=_end_quietly), ExcepthookIntegration(), ThreadingIntegration()],
        send_default_pii=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        trace_propagation_targets=[],
        shutdown_timeout=_STOP_SECONDS,
        before_send=_scrub_event,
    )
    sentry_sdk.set_tag("process", process or "command")


def report_errors(_logger: Any, method: str, facts: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Report a log event to Sentry if it is an error: a processor of structlog that changes nothing."""
    if method in _LEVELS and _is_new(facts):
        import sentry_sdk
        from sentry_sdk.utils import event_from_exception

        error, hint = sys.exc_info() if facts.get("exc_info") is True else facts.get("exc_info"), None
        event: dict[str, Any] = {}
        if error and error != (None, None, None):
            event, hint = event_from_exception(error, client_options=sentry_sdk.get_client().options)  # type: ignore[assignment]
        event |= {
            "level": _LEVELS[method],
            "logger": str(facts.get("part", "")),
            "message": str(facts.get("event", "")),
            "fingerprint": [str(facts.get("event", "")), str(facts.get("error", ""))[:80]],
            "tags": {key: str(value) for key, value in facts.items() if key not in _NO_TAGS and isinstance(value, int | str)},
            "extra": {key: value for key, value in facts.items() if key not in ("exc_info", "level")},
        }
        sentry_sdk.capture_event(event, hint)  # type: ignore[arg-type]
    return facts


def _is_new(facts: Mapping[str, Any]) -> bool:
    """Whether this error was not reported lately: one that repeats every second would use up the quota."""
    key = (str(facts.get("event")), str(facts.get("error")), str(facts.get("send")))
    now = time.monotonic()
    with _lock:
        if now - _reported.get(key, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        if len(_reported) >= _MAX_REMEMBERED:
            _reported.clear()
        _reported[key] = now
    return True


def _scrub_event(event: Any, _hint: Any) -> Any:
    """Remove addresses from every text of an event but its source lines, in which an @ is a decorator."""
    for part in ("message", "tags", "extra", "fingerprint"):
        if part in event:
            event[part] = _scrub(event[part])
    for one in (event.get("exception") or {}).get("values") or []:
        one["value"] = _scrub(one.get("value") or "")
    return event


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return without_addresses(value)
    if isinstance(value, Mapping):
        return {key: _scrub(one) for key, one in value.items()}
    return [_scrub(one) for one in value] if isinstance(value, list | tuple) else value


def _end_quietly(_pending: int, _timeout: float) -> None:
    """Print nothing at the end of a command."""
