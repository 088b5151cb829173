"""The optional challenge on forms: proof of work in the browser, or an external captcha service; how often a form can be used.

The challenge is off by default. A solution can be used only once.
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

logger = log.get("challenge")

MAX_CHALLENGE_AGE = timedelta(hours=24)  # the same as the form that contains it
MAX_FORM_USES = 5  # of one form's token: people correct typing errors, bots post it again and again


def is_passed(database: Database, settings: Settings, answer: str, ip: str | None) -> bool:
    """Return whether this form's challenge was passed, for the first time. Always true when challenges are off."""
    if settings.challenge == "off":
        return True
    if settings.challenge == "hook":
        return (
            bool(answer)
            and _use_once(database, hashlib.sha256(answer.encode()).hexdigest())
            and _ask_captcha_service(settings, answer, ip)
        )
    solved = tokens.read_work(settings.need_secrets(), answer, datetime.now(UTC), MAX_CHALLENGE_AGE)
    return solved is not None and _use_once(database, solved)


def may_use_form(database: Database, form_token: str) -> bool:
    """Count one more use of a form's token; return whether it may be used again. Raises Unavailable."""
    key = hashlib.sha256(form_token.encode()).hexdigest()
    with database.transaction() as tx:
        return not signup_limits.use(tx, [("form", key, MAX_FORM_USES)], MAX_CHALLENGE_AGE)


def _use_once(database: Database, key: str) -> bool:
    with database.transaction() as tx:
        return not signup_limits.use(tx, [("challenge", key, 1)], MAX_CHALLENGE_AGE)


def _ask_captcha_service(settings: Settings, answer: str, ip: str | None) -> bool:
    try:
        return captcha.verify_answer(settings.challenge_verify_url, settings.challenge_secret, answer, ip)
    except Unavailable as error:
        logger.warning("challenge.trouble", reason=str(error), let_in=settings.challenge_on_error == "open")
        return settings.challenge_on_error == "open"
