"""The pace of a worker: the account's limits, asked again while it sends, and the budget that all workers share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from mailer.core import log
from mailer.core.errors import PostmergeError
from mailer.core.rate_budget import RESERVE, Budget, Grant
from mailer.transports.base import Account, Transport

events = log.get("pace")

ASK_EVERY = 30.0  # seconds between two questions for the account's limits
ASK_SOON = 5.0  # seconds, while the quota of 24 hours is nearly used up
_UNKNOWN = Account(rate=1, quota=200, sent=0)  # what a new SES account may send (its sandbox); used until SES has answered


@dataclass(frozen=True)
class Allowance:
    """A grant; ``exhausted`` says that the quota of 24 hours has no room for bulk mail now."""

    grant: Grant
    exhausted: bool = False


class Pace:
    """Safe to call from many threads. A transport without limits is never slowed."""

    def __init__(self, transport: Transport, budget: Budget) -> None:
        self._transport = transport
        self._budget = budget
        self._lock = threading.Lock()
        self._account: Account | None = _UNKNOWN
        self._asked = -ASK_EVERY
        self._taken = 0

    def take(self, wanted: int, urgent: bool = False) -> Allowance:
        """How many of ``wanted`` mails may leave now, and when; an urgent mail may use the reserve too."""
        room, account = self.room(urgent), self._account
        if account is None:
            return Allowance(Grant(wanted))
        if room < 1:
            return Allowance(Grant(0), exhausted=True)
        grant = self._budget.take(int(min(wanted, room)), account.rate, urgent)
        with self._lock:
            self._taken += grant.count
        return Allowance(grant)

    def throttled(self) -> None:
        """The other side asked for less."""
        if self._account:
            self._budget.throttled(self._account.rate)
        with self._lock:
            self._asked = min(self._asked, time.monotonic() - ASK_EVERY + 1)

    def room(self, urgent: bool = False) -> float:
        """Mails that may still be handed over in these 24 hours (``inf`` without a quota)."""
        account = self._limits()
        if account is None:
            return float("inf")
        return account.left - self._taken - (0 if urgent else reserve(account))

    def _limits(self) -> Account | None:
        with self._lock:
            soon = self._account is not None and self._account.left - self._taken < self._account.rate * ASK_EVERY
            if time.monotonic() - self._asked < (ASK_SOON if soon else ASK_EVERY):
                return self._account
            self._asked = time.monotonic()
        try:
            account = self._transport.account()
        except PostmergeError as error:
            events.warning("pace.limits_unknown", error=str(error))
            return self._account
        with self._lock:
            self._account, self._taken = account, 0
        return account


def reserve(account: Account) -> float:
    """Mails of the quota that bulk sends leave for confirmations and other single mails."""
    return 0.0 if account.quota < 0 else min(account.quota, max(10.0, account.quota * RESERVE))
