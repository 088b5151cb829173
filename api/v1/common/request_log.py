"""The log of API requests, written in batches by a thread: never a body, never an address.

A request without a valid key is not logged, so that strangers cannot fill the database.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common.dependencies import AppContext
from mailer.core import log
from mailer.core.errors import PostmergeError
from mailer.core.telemetry import work_counts
from mailer.flows.operations import api_records

logger = log.get("api")

_FLUSH_SECONDS = 1.0  # seconds
_CLEANUP_SECONDS = 3600.0  # seconds
_MAX_WAITING_REQUESTS = 20_000  # requests; the oldest are dropped while the database is down
_SOURCES = ("axios", "curl", "go", "node", "powershell", "python", "ruby", "wordpress", "zapier", "make", "pipedream")


class RequestLog:
    """Collects requests and writes them to the database a second later."""

    def __init__(self, context: AppContext) -> None:
        self._get_context = context
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_MAX_WAITING_REQUESTS)
        self._lock = threading.Lock()
        self._flush_planned = False
        self._cleaned_at = 0.0

    def record(self, one: dict[str, Any]) -> None:
        """Queue a request for the log."""
        self._waiting.append(one)
        with self._lock:
            if self._flush_planned:
                return
            self._flush_planned = True
        threading.Thread(target=self._flush_later, name="request-log", daemon=True).start()

    def flush(self) -> None:
        """Write the queued requests."""
        rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
        api_records.save_requests(self._get_context.database, rows)
        if time.monotonic() - self._cleaned_at > _CLEANUP_SECONDS:
            self._cleaned_at = time.monotonic()
            api_records.delete_old_rows(self._get_context.database)

    def _flush_later(self) -> None:
        time.sleep(_FLUSH_SECONDS)
        with self._lock:
            self._flush_planned = False
        try:
            self.flush()
        except PostmergeError:
            logger.warning("requests.lost")
        except Exception as error:
            logger.warning("requests.broke", error=type(error).__name__)


class RequestLogMiddleware:
    """ASGI middleware: records each request under ``/v1`` that has a valid key, with its route's pattern."""

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            return await self._app(scope, receive, send)
        status, started = 500, time.perf_counter()

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope.setdefault("state", {})
        try:
            await self._app(scope, receive, send_watched)
        finally:
            work_counts.count_request(scope["method"], status, time.perf_counter() - started)
            if key := scope["state"].get("key"):
                self._log.record(_describe_request(scope, status, key.id))


def _describe_request(scope: Scope, status: int, key_id: int) -> dict[str, Any]:
    path = getattr(scope.get("route"), "path", "") or "/v1/"
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"").decode("latin-1").lower()
    source = next((word for word in _SOURCES if agent.startswith(word)), "api")
    return {
        "at": datetime.now(UTC).isoformat(),
        "key_id": key_id,
        "method": scope["method"][:10],
        "path": path.removeprefix("/v1"),
        "status": status,
        "source": source,
        "ip": None,
    }
