"""Notices for the operator: any process posts them to POSTMERGE_NOTIFY_URL, each once, retrying for a day."""

from __future__ import annotations

import json
import threading

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.net import http_client
from mailer.core.settings import Settings
from mailer.store.operations import notices

logger = log.get("notify")

_TIMEOUT_SECONDS = 10.0
POST_SECONDS = 5.0  # between two looks for notices
_MAX_AT_ONCE = 20


class Notifier:
    """A thread that posts notices and pings, so that an address that hangs delays nothing else of the process."""

    def __init__(self, database: Database, settings: Settings, stopping: threading.Event) -> None:
        self._database = database
        self._settings = settings
        self._stopping = stopping
        self._ping_due = threading.Event()

    def start(self) -> None:
        """Start the thread, if there is anything to call."""
        if self._settings.notify_url or self._settings.ping_url:
            threading.Thread(target=self._run, name="notices", daemon=True).start()

    def request_ping(self) -> None:
        """Call POSTMERGE_PING_URL soon."""
        self._ping_due.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._ping_due.is_set():
                    self._ping_due.clear()
                    ping(self._settings)
                post_notices(self._database, self._settings)
            except PostmergeError as error:
                logger.warning("notice.waits", error=str(error))
            except Exception as error:  # a bug: later notices still need the thread
                logger.exception("notice.failed", error=type(error).__name__)
            self._stopping.wait(POST_SECONDS)


def post_notices(database: Database, settings: Settings) -> int:
    """Post waiting notices, oldest first; return how many were accepted. Stop at the first failure, which is retried later."""
    if not settings.notify_url:
        return 0
    for number in range(_MAX_AT_ONCE):
        with database.transaction() as tx:
            notice = notices.claim_next(tx)
        if notice is None:
            return number
        posted = _post_text(settings.notify_url, notice.text)
        with database.transaction() as tx:
            (notices.mark_posted if posted else notices.release)(tx, notice.id)
        if not posted:
            return number
    return _MAX_AT_ONCE


def ping(settings: Settings) -> bool:
    """Call POSTMERGE_PING_URL, if it is set; return whether it accepted the call."""
    return bool(settings.ping_url) and _call(settings.ping_url, None, "ping.failed")


def _post_text(url: str, text: str) -> bool:
    return _call(url, json.dumps({"text": text}).encode(), "notice.not_posted")


def _call(url: str, body: bytes | None, failure: str) -> bool:
    """Return whether a 2xx response arrived."""
    headers = {"Content-Type": "application/json"} if body else {}
    method = "POST" if body else "GET"
    try:
        response = http_client.send(
            http_client.HttpRequest(method, url, headers, body, seconds=_TIMEOUT_SECONDS, follow=lambda _url: True)
        )
    except (http_client.NoResponse, PostmergeError) as error:
        logger.warning(failure, error=str(error))
        return False
    if not response.accepted:
        logger.warning(failure, error=f"status {response.status}")
    return response.accepted
