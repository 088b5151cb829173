"""Detect link scanners by a hidden link that no person sees.

A visit changes nothing about the subscriber; it is only recorded.
"""

from __future__ import annotations

import contextlib

from mailer.core import log, tokens
from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings
from mailer.store.subscribers import scanner_visits

logger = log.get("scanner")


def record_issue_visit(database: Database, settings: Settings, unsubscribe_token: str) -> bool:
    """Record a visit to the hidden link of an issue's email; return whether the link is ours."""
    claim = tokens.read_unsubscribe(settings.need_secrets(), unsubscribe_token)
    if claim:
        _record_visit(database, claim.subscriber_id, send_id=claim.reference)
    return claim is not None


def record_email_visit(database: Database, settings: Settings, token: str) -> bool:
    """Record a visit to the hidden link of a transactional email; return whether the link is ours."""
    found = tokens.read_canary(settings.need_secrets(), token)
    if found:
        _record_visit(database, found[0], email_id=found[1])
    return found is not None


def _record_visit(database: Database, subscriber_id: int, **email: int) -> None:
    logger.info("canary.opened", **email)
    with contextlib.suppress(Unavailable), database.transaction() as tx:
        scanner_visits.add(tx, subscriber_id, **email)
