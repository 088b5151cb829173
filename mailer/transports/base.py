"""What a transport is: it hands one message to the outside and says what is known about it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

USD_PER_EMAIL = 0.0001  # Amazon SES: 0.10 USD for 1,000 emails (aws.amazon.com/ses/pricing, November 2026)


class Outcome(StrEnum):
    """What is known after one attempt. Source of the sorting: FACTS on SES v2, checked against botocore's models."""

    ACCEPTED = "accepted"  # the other side has it
    THROTTLED = "throttled"  # not sent; slow down and try again, no attempt counted
    RETRY = "retry"  # not sent (no connection was made); safe to try again
    UNCERTAIN = "uncertain"  # may or may not have been sent; never again without proof
    REFUSED = "refused"  # this message will never be taken
    HALT = "halt"  # not sent, and no other message will be taken now: stop the whole send


@dataclass(frozen=True)
class Envelope:
    """One message for one reader. ``tags`` come back in the transport's events (letters, digits, ``_``, ``-``)."""

    to: str
    raw: bytes
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The outcome of one attempt; ``detail`` is for the ledger and never holds an address."""

    outcome: Outcome
    message_id: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AccountLimits:
    """The account's limits: mails a second, mails in 24 hours, mails sent in the last 24 hours; ``sending`` may be off."""

    rate: float
    quota: float
    sent: float
    sending: bool = True
    production: bool = True  # False in SES's sandbox, which mails only to verified addresses

    @property
    def left(self) -> float:
        """Mails that may still be sent in these 24 hours (``inf`` when the account has no quota: -1 at SES)."""
        return float("inf") if self.quota < 0 else max(0.0, self.quota - self.sent)


class Transport(Protocol):
    """``send`` may be called from many threads at once; it never raises for what the outside does, it answers."""

    name: str

    def send(self, envelope: Envelope) -> Answer: ...

    def account(self) -> AccountLimits | None:
        """Limits, or None when there are none. Raises Refused (wrong credential, paused) or Unavailable."""
        ...


@runtime_checkable
class AsyncTransport(Transport, Protocol):
    """A transport that needs no thread for each call."""

    async def send_async(self, envelope: Envelope) -> Answer:
        """``send`` on the process's shared loop (``mailer.loops``)."""
        ...
