"""When the account's 24-hour quota is used up, a send waits, reports until when, and resumes automatically."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.core.i18n import local_time
from mailer.store.sending import deliveries, sends

logger = log.get("quota")

RECHECK_AFTER = timedelta(minutes=15)  # used when something outside this ledger consumed the quota
_MIN_WAIT = timedelta(seconds=30)
_MIN_EMAILS = 1000  # how much of the quota must have returned before it is worth resuming


def wait_for_quota(database: Database, send_id: int) -> None:
    """Back off until part of the quota returns, 24 hours after this ledger handed the emails over."""
    with database.transaction() as tx:
        wanted = min(_MIN_EMAILS, max(1, deliveries.count_pending(tx, send_id)))
        back, at = deliveries.quota_returns_at(tx, wanted)
        now = datetime.now(UTC)
        wait = min(RECHECK_AFTER, max(_MIN_WAIT, at - now)) if at else RECHECK_AFTER
        when = f"resumes about {_day(at, now)}, when {back:,} of it return" if at else "checks again in 15 minutes"
        sends.back_off(tx, send_id, wait, f"the account's 24-hour quota is used up; {when}")
    logger.warning("send.waits_for_quota", send=send_id, seconds=int(wait.total_seconds()))


def _day(at: datetime, now: datetime) -> str:
    """The time of day, with the date unless that is today."""
    is_today = local_time.to_local(at).date() == local_time.to_local(now).date()
    return local_time.moment(at, "%H:%M" if is_today else "%a %d %b %H:%M")
