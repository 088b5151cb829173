"""What the clock does for readers: pauses end, the month's mail is made, what is not to be kept is forgotten."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, preferences, segments, signup_limits
from mailer.store.sending import audiences, digests
from mailer.store.subscribers import retention

events = log.get("upkeep")

EVERY = 60.0  # seconds between two rounds
_MANY = 1000
_last = 0.0


def upkeep(database: Database, settings: Settings) -> None:
    """One round, at most one in each EVERY seconds. Safe to run twice and at once."""
    global _last
    if time.monotonic() - _last < EVERY and _last:
        return
    _last = time.monotonic()
    if ended := preferences.end_pauses(database):
        events.info("pauses.ended", readers=ended)
    signup_limits.calm(database)
    make_digest(database, datetime.now(UTC))
    forget(database, settings)


def make_digest(database: Database, now: datetime) -> int:
    """The mail of last month for monthly readers, once for each month; how many mails are queued."""
    this = now.date().replace(day=1)
    month = (this - timedelta(days=1)).replace(day=1)
    start, end = _midnight(month), _midnight(this)
    with database.transaction() as tx:
        if not digests.begin(tx, month):
            return 0
        digests.collect(tx)
        for place, send in enumerate(digests.sends(tx, start, end)):
            try:
                rule, values = audiences.compiled(segments.read(tx, send["audience"]))
            except BadInput as error:  # a segment that has gone since
                events.warning("digest.left_out", title=send["title"], reason=str(error))
                continue
            digests.add(tx, place, send, end, rule, values)
        number = digests.queue(tx, month)
    events.info("digest.made", month=month.isoformat(), mails=number)
    return number


def forget(database: Database, settings: Settings) -> tuple[int, int]:
    """The retention rule: how many sign-ups were forgotten, and how many who left long ago were erased."""
    with database.transaction() as tx:
        forgotten = retention.forget_unconfirmed(tx, settings.keep_unconfirmed, _MANY)
        old = retention.left_long_ago(tx, settings.keep_unsubscribed, _MANY) if settings.keep_unsubscribed else []
    erased = sum(erasure.erase(database, settings, subscriber_id) for subscriber_id in old)
    if forgotten or erased:
        events.info("retention.done", forgotten=forgotten, erased=erased)
    return forgotten, erased


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
