"""The optional question whether a person is there: a small sum for the browser, or the verdict of another service.

Off by default. What was solved once is worth nothing a second time.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from mailer.core import log, tokens
from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings
from mailer.store.subscribers import signup_limits
from mailer.webhooks import captcha

events = log.get("challenge")

HOLDS = timedelta(hours=24)  # as long as the form it stands in


def met(database: Database, settings: Settings, answer: str, ip: str | None) -> bool:
    """Is the challenge of this form met, for the first time? Always when there is none."""
    if settings.challenge == "off":
        return True
    if settings.challenge == "hook":
        return bool(answer) and _first(database, hashlib.sha256(answer.encode()).hexdigest()) and _verdict(settings, answer, ip)
    solved = tokens.read_work(settings.need_secret(), answer, datetime.now(UTC), HOLDS)
    return solved is not None and _first(database, solved)


def _first(database: Database, key: str) -> bool:
    with database.transaction() as tx:
        return bool(signup_limits.take(tx, [("challenge", key, 1)], HOLDS))


def _verdict(settings: Settings, answer: str, ip: str | None) -> bool:
    try:
        return captcha.verify_answer(settings.challenge_verify_url, settings.challenge_secret, answer, ip)
    except Unavailable as error:
        events.warning("challenge.trouble", reason=str(error), let_in=settings.challenge_on_error == "open")
        return settings.challenge_on_error == "open"
