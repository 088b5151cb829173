"""The hidden link of a mail: whoever opens it is a program. It changes nothing about the reader; the visit is written down."""

from __future__ import annotations

import contextlib

from mailer.core import log, tokens
from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.settings import Settings
from mailer.store.subscribers import scanner_visits

events = log.get("reader")


def opened_in_issue(database: Database, settings: Settings, leave_token: str) -> bool:
    """The hidden link of an issue's mail; whether it is ours."""
    claim = tokens.read_leave(settings.need_secret(), leave_token)
    if claim:
        _record(database, claim.subscriber_id, send_id=claim.send_id)
    return claim is not None


def opened_in_mail(database: Database, settings: Settings, token: str) -> bool:
    """The hidden link of a single mail; whether it is ours."""
    found = tokens.read_canary(settings.need_secret(), token)
    if found:
        _record(database, found[0], mail_id=found[1])
    return found is not None


def _record(database: Database, subscriber_id: int, **mail: int) -> None:
    events.info("canary.opened", **mail)
    with contextlib.suppress(Unavailable), database.transaction() as tx:
        scanner_visits.record(tx, subscriber_id, **mail)
