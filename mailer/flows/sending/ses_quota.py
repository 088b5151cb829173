"""When the account's quota of 24 hours is used up, a send waits, says until when, and goes on by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database
from mailer.store.sending import deliveries, sends

events = log.get("quota")

LOOK_AGAIN = timedelta(minutes=15)  # when the ledger does not know who used the quota
_SOONEST = timedelta(seconds=30)
_STEP = 1000  # mails that are worth going on for


def wait(database: Database, send_id: int) -> None:
    """Let the send rest until part of the quota comes back: mails that this ledger handed over 24 hours before."""
    with database.transaction() as tx:
        wanted = min(_STEP, max(1, deliveries.pending(tx, send_id)))
        back, at = deliveries.quota_returns_at(tx, wanted)
        now = datetime.now(UTC)
        rest = min(LOOK_AGAIN, max(_SOONEST, at - now)) if at else LOOK_AGAIN
        when = f"resumes about {_day(at, now)} UTC, when {back:,} of the quota come back" if at else "looks again in 15 minutes"
        sends.rest(tx, send_id, rest, f"the account's quota of 24 hours is used up; {when}")
    events.warning("send.waits_for_quota", send=send_id, seconds=int(rest.total_seconds()))


def _day(at: datetime, now: datetime) -> str:
    """The time, with the day when that is not today: mostly it is tomorrow."""
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%a %d %b %H:%M}"
