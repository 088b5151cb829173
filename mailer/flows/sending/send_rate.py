"""How fast a worker may send: the account's limits, refreshed while it sends, and the rate limiter that all workers share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from mailer.core import log
from mailer.core.errors import PostmergeError
from mailer.core.rate_limiter import QUOTA_RESERVE, RateLimiter, SendSlots
from mailer.core.telemetry import work_counts
from mailer.transports.base import AccountLimits, Transport

logger = log.get("rate")

REFRESH_SECONDS = 30.0  # how often the account's limits are read again
REFRESH_SECONDS_NEAR_QUOTA = 5.0  # the same while the 24-hour quota is nearly used up
_UNKNOWN = AccountLimits(
    rate=1, quota=200, sent=0
)  # the limits of a new SES account (its sandbox), used until SES has answered


@dataclass(frozen=True)
class Allowance:
    """The slots granted; ``quota_exhausted`` means that the 24-hour quota allows no more bulk email now."""

    slots: SendSlots
    quota_exhausted: bool = False


class SendRate:
    """The rate of one process. Thread-safe. A transport without limits is never slowed down."""

    def __init__(self, transport: Transport, limiter: RateLimiter) -> None:
        self._transport = transport
        self._limiter = limiter
        self._lock = threading.Lock()
        self._account: AccountLimits | None = _UNKNOWN
        self._asked = -REFRESH_SECONDS
        self._used = 0

    def take_slots(self, wanted: int, urgent: bool = False) -> Allowance:
        """How many of ``wanted`` emails may leave now, and when; urgent ones may use the reserve too."""
        left, account = self.quota_left(urgent), self._account
        if account is None:
            return Allowance(SendSlots(wanted))
        if left < 1:
            return Allowance(SendSlots(0), quota_exhausted=True)
        slots = self._limiter.take_slots(int(min(wanted, left)), account.rate, urgent)
        with self._lock:
            self._used += slots.count
        return Allowance(slots)

    def reduce(self) -> None:
        """Lower the rate, because the transport throttled an email."""
        if self._account:
            self._limiter.reduce(self._account.rate)
        with self._lock:
            self._asked = min(self._asked, time.monotonic() - REFRESH_SECONDS + 1)

    def quota_left(self, urgent: bool = False) -> float:
        """How many emails may still be sent in the current 24 hours (``inf`` without a quota)."""
        account = self._read_limits()
        if account is None:
            return float("inf")
        return account.left - self._used - (0 if urgent else quota_reserve(account))

    def _read_limits(self) -> AccountLimits | None:
        with self._lock:
            soon = self._account is not None and self._account.left - self._used < self._account.rate * REFRESH_SECONDS
            if time.monotonic() - self._asked < (REFRESH_SECONDS_NEAR_QUOTA if soon else REFRESH_SECONDS):
                return self._account
            self._asked = time.monotonic()
        try:
            account = self._transport.account()
        except PostmergeError as error:
            logger.warning("rate.limits_unknown", error=str(error))
            return self._account
        with self._lock:
            self._account, self._used = account, 0
        if account and account.quota >= 0:
            work_counts.set_gauge("ses_rate_allowed", account.rate)
            work_counts.set_gauge("ses_quota_left", account.left)
        return account


def quota_reserve(account: AccountLimits) -> float:
    """How many emails of the quota bulk sends leave to confirmations and other transactional emails."""
    return 0.0 if account.quota < 0 else min(account.quota, max(10.0, account.quota * QUOTA_RESERVE))
