"""The protocol of transports: one sends a message and returns what is known about the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

USD_PER_EMAIL = 0.0001  # Amazon SES: 0.10 USD for 1,000 emails (aws.amazon.com/ses/pricing, November 2026)


class Outcome(StrEnum):
    """The outcome of one attempt, as far as known. Classified by FACTS on SES v2, checked against botocore's models."""

    ACCEPTED = "accepted"  # taken by the other side
    THROTTLED = "throttled"  # not sent; slow down and try again, no attempt counted
    RETRY = "retry"  # not sent (no connection was made); safe to try again
    UNCERTAIN = "uncertain"  # perhaps sent; never retried without proof
    REFUSED = "refused"  # this message will never be accepted
    HALT = "halt"  # not sent, and no other message will be accepted now: stop the whole send


@dataclass(frozen=True)
class Envelope:
    """One message to one subscriber. ``tags`` return in the transport's events (letters and digits, ``_``, ``-``)."""

    to: str
    raw: bytes
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The outcome of one attempt; ``detail`` is for the ledger and never contains an address."""

    outcome: Outcome
    message_id: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AccountLimits:
    """The account's limits: emails a second, emails in 24 hours, emails sent in the last 24 hours; ``sending`` may be off."""

    rate: float
    quota: float
    sent: float
    sending: bool = True
    production: bool = True  # False in SES's sandbox, which sends only to verified addresses

    @property
    def left(self) -> float:
        """Emails that may still be sent in these 24 hours (``inf`` if the account has no quota: -1 at SES)."""
        return float("inf") if self.quota < 0 else max(0.0, self.quota - self.sent)


class SuppressionRemoval(StrEnum):
    """What happened to an address on the provider's own suppression list."""

    REMOVED = "removed"
    NOT_LISTED = "not listed"
    COMPLAINT = "listed because of a complaint"  # and left there


class Transport(Protocol):
    """``send`` is thread-safe and returns an answer instead of raising for what the other side does."""

    name: str

    def send(self, envelope: Envelope) -> Answer: ...

    def account(self) -> AccountLimits | None:
        """Return the limits, or None if there are none. Raises Refused (wrong credential, paused) or Unavailable."""
        ...


@runtime_checkable
class AsyncTransport(Transport, Protocol):
    """A transport that needs no thread for each call."""

    async def send_async(self, envelope: Envelope) -> Answer:
        """``send`` on the process's shared loop (``mailer.core.event_loop``)."""
        ...


@runtime_checkable
class VerifyingTransport(Protocol):
    """A transport whose provider accepts email only from addresses or domains that were verified with it."""

    def is_verified(self, address: str) -> bool | None:
        """Is the address, or a domain that it is in, verified? None if our credentials may not ask.

        Raises Refused (wrong credential) or Unavailable (try again).
        """
        ...


@runtime_checkable
class SuppressingTransport(Protocol):
    """A transport whose provider has a suppression list of its own and accepts, but never delivers, email to those on it."""

    def remove_suppression(self, email: str, complaints: bool = False) -> SuppressionRemoval:
        """Remove an address from the provider's list; one listed because of a complaint only with ``complaints``.

        Repeating it has no effect. Raises Refused (wrong credential, missing permission) or Unavailable (try again).
        """
        ...
