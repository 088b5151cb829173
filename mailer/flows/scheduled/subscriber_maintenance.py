"""Periodic jobs for subscribers: end pauses and suppressions by soft bounces, queue digests, apply the retention rules."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, preferences, segment_rules, signup_limits, suppression_lifting
from mailer.flows.subscribers.preferences import Frequency
from mailer.store.operations import database_facts
from mailer.store.sending import audiences, digests
from mailer.store.subscribers import retention
from mailer.store.transactional import test_emails

logger = log.get("maintenance")

INTERVAL_SECONDS = 60.0
KEEP_JOURNAL_ROWS_FOR = timedelta(days=30)  # a machine that was off for longer lacks what happened before
_MAX_ROWS_A_ROUND = 1000
_last = 0.0


def maintain_subscribers(database: Database, settings: Settings) -> None:
    """Run one round, at most once every INTERVAL_SECONDS. Safe to run concurrently."""
    global _last
    if time.monotonic() - _last < INTERVAL_SECONDS and _last:
        return
    _last = time.monotonic()
    if ended := preferences.end_pauses(database):
        logger.info("pauses.ended", subscribers=ended)
    if lifted := suppression_lifting.end_soft_suppressions(database, _MAX_ROWS_A_ROUND):
        logger.info("suppressions.expired", addresses=lifted)
    signup_limits.lower_calm_firewall(database)
    with database.transaction() as tx:
        now = database_facts.read(tx).now
    queue_digests(database, now)
    apply_retention(database, settings)


def queue_digests(database: Database, now: datetime) -> int:
    """Queue the digests of the last whole week and month, each once; return how many emails were queued."""
    today = now.date()
    week, month = today - timedelta(days=today.weekday()), today.replace(day=1)
    before = (month - timedelta(days=1)).replace(day=1)
    weekly = _queue_digest(database, Frequency.WEEKLY, week - timedelta(days=7), week)
    return weekly + _queue_digest(database, Frequency.MONTHLY, before, month)


def _queue_digest(database: Database, frequency: Frequency, first_day: date, end_day: date) -> int:
    """Queue a digest of what was sent from the first day until the beginning of the last one.

    It begins where the digest before it ended, so that a scheduler that stood still for longer drops no issue.
    """
    end = _midnight(end_day)
    with log.in_request(), database.transaction() as tx:
        latest = digests.get_latest(tx, frequency, first_day)
        if not digests.begin(tx, frequency, first_day):
            return 0
        start = _midnight(_get_next_period(frequency, latest) if latest else first_day)
        sends = digests.list_sends(tx, start, end)
        digests.collect_subscribers(tx, frequency, min([start, *(send["frozen_at"] for send in sends)]))
        for place, send in enumerate(sends):
            try:
                rule = audiences.compile_rule(segment_rules.read_rule(tx, send["audience"]))
            except BadInput as error:  # for example, a segment deleted meanwhile
                logger.warning("digest.issue_skipped", title=send["title"], reason=str(error))
                continue
            digests.add_items(tx, frequency, place, send, end, rule)
        number = digests.queue_emails(tx, frequency, first_day)
        logger.info("digest.queued", frequency=str(frequency), first_day=first_day.isoformat(), emails=number)
    return number


def apply_retention(database: Database, settings: Settings) -> tuple[int, int]:
    """Delete unconfirmed sign-ups and erase subscribers who unsubscribed long ago; returns how many of each."""
    with database.transaction() as tx:
        forgotten = retention.delete_unconfirmed(tx, settings.keep_unconfirmed, _MAX_ROWS_A_ROUND)
        forgotten += retention.delete_surplus_unconfirmed(tx, settings.max_unconfirmed, _MAX_ROWS_A_ROUND)
        test_emails.purge(tx)
        retention.delete_old_journal_rows(tx, KEEP_JOURNAL_ROWS_FOR, _MAX_ROWS_A_ROUND)
        old = (
            retention.list_unsubscribed_before(tx, settings.keep_unsubscribed, _MAX_ROWS_A_ROUND)
            if settings.keep_unsubscribed
            else []
        )
    erased = sum(erasure.erase_subscriber(database, settings, subscriber_id) for subscriber_id in old)
    if forgotten or erased:
        logger.info("retention.done", forgotten=forgotten, erased=erased)
    return forgotten, erased


def _get_next_period(frequency: Frequency, first_day: date) -> date:
    """The first day of the week or month after the one that begins on this day."""
    if frequency == Frequency.WEEKLY:
        return first_day + timedelta(days=7)
    return (first_day + timedelta(days=31)).replace(day=1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
