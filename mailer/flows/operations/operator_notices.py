"""Notices for the operator: post them to POSTMERGE_NOTIFY_URL, retrying for a day."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException

from mailer.core import log
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.store.operations import notices

logger = log.get("notify")

_TIMEOUT_SECONDS = 10.0


def post_notices(database: Database, settings: Settings) -> int:
    """Post waiting notices, oldest first; return how many were accepted. Stop at the first failure, which is retried later."""
    if not settings.notify_url:
        return 0
    with database.transaction() as tx:
        waiting = notices.list_waiting(tx)
    for number, notice in enumerate(waiting):
        if not _post_text(settings.notify_url, notice.text):
            return number
        with database.transaction() as tx:
            notices.mark_posted(tx, notice.id)
    return len(waiting)


def _post_text(url: str, text: str) -> bool:
    body = json.dumps({"text": text}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "postmerge"}
    try:
        request = urllib.request.Request(url, body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return True
    except (OSError, HTTPException, ValueError) as error:
        logger.warning("notice.not_posted", error=type(error).__name__)
        return False
