"""Circuit breakers: the conditions that stop a running send automatically.

The thresholds follow what SES and Gmail watch: 5 % soft bounces, 1 % hard bounces, 0.1 % complaints. Each applies only from
a minimum number of emails and of bad outcomes, so that one bad address does not stop a small newsletter. Outcomes that the
operator knew about when resuming the send do not count again.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx
from mailer.store.sending import deliveries, sends
from mailer.store.sending.sends import AcknowledgedOutcomes, Send


@dataclass(frozen=True)
class CircuitBreaker:
    """Trips when at least ``min_bad`` of at least ``min_emails`` emails ended badly, and more than ``max_share`` of them."""

    name: str
    max_share: float
    min_emails: int
    min_bad: int

    def is_tripped(self, bad: int, emails: int) -> bool:
        """Are there too many bad outcomes?"""
        return emails >= self.min_emails and bad >= self.min_bad and bad > self.max_share * emails


SOFT = CircuitBreaker("soft bounces", 0.05, 100, 6)
HARD = CircuitBreaker("hard bounces", 0.01, 100, 3)
COMPLAINTS = CircuitBreaker("complaints", 0.001, 500, 2)


def find_stop_reason(tx: Tx, send: Send) -> str:
    """Why the send must stop, or "" when it may go on."""
    found = deliveries.read_health(tx, send.id)
    if not send.continuous and send.audience_size is not None and found.rows != send.audience_size:
        return (
            f"the ledger has {found.rows:,} rows for an audience of {send.audience_size:,} subscribers, which must never"
            " happen: change nothing and find the cause"
        )
    known = sends.get_acknowledged(tx, send.id)
    emails, since = found.emails - known.emails, " since it was resumed" if known.emails else ""
    bad = ((HARD, found.hard - known.hard), (SOFT, found.soft - known.soft), (COMPLAINTS, found.complaints - known.complaints))
    for breaker, number in bad:
        if breaker.is_tripped(number, emails):
            return (
                f"{number:,} {breaker.name} in {emails:,} emails{since} exceed {breaker.max_share:.1%}:"
                f" check the addresses, then run `postmerge resume {send.id} --yes`, or leave the send stopped"
            )
    return ""


def acknowledge_outcomes(tx: Tx, send: Send) -> None:
    """Stop counting the outcomes known now, so that they do not stop the send again."""
    found = deliveries.read_health(tx, send.id)
    sends.set_acknowledged(tx, send.id, AcknowledgedOutcomes(found.emails, found.hard, found.soft, found.complaints))
