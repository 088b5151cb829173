"""Brakes and circuit breakers: what makes a running send stop by itself.

Thresholds from FACTS (what SES and Gmail look at): soft bounces 5 %, hard bounces 1 %, complaints 0.1 %, each only after a
least number of mails and of bad outcomes, so that one broken address does not stop a small newsletter. With what the operator
knew when the send was resumed, no brake is pulled again: only what is new counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx
from mailer.store.sending import deliveries, sends
from mailer.store.sending.sends import Excused, Send


@dataclass(frozen=True)
class Brake:
    """Stops when at least ``least_bad`` of at least ``least`` mails, and more than ``share`` of them, ended badly."""

    name: str
    share: float
    least: int
    least_bad: int

    def pulled(self, bad: int, mails: int) -> bool:
        """Is it too much?"""
        return mails >= self.least and bad >= self.least_bad and bad > self.share * mails


SOFT = Brake("soft bounces", 0.05, 100, 6)
HARD = Brake("hard bounces", 0.01, 100, 3)
COMPLAINTS = Brake("complaints", 0.001, 500, 2)


def reason(tx: Tx, send: Send) -> str:
    """Why the send must stop, or ""."""
    found = deliveries.health(tx, send.id)
    if send.audience_size is not None and found.rows != send.audience_size:
        return (
            f"its ledger has {found.rows:,} rows but its audience {send.audience_size:,} readers, which must never happen:"
            " keep everything as it is and look for the cause"
        )
    known = sends.excused(tx, send.id)
    mails, since = found.handed_over - known.mails, " since it was resumed" if known.mails else ""
    bad = ((HARD, found.hard - known.hard), (SOFT, found.soft - known.soft), (COMPLAINTS, found.complaints - known.complaints))
    for brake, number in bad:
        if brake.pulled(number, mails):
            return (
                f"{number:,} {brake.name} of {mails:,} mails{since} are more than {brake.share:.1%}:"
                f" look at the addresses, then `postmerge resume {send.id} --yes`, or leave it stopped"
            )
    return ""


def excuse(tx: Tx, send: Send) -> None:
    """What is known of the outcomes now does not stop the send again."""
    found = deliveries.health(tx, send.id)
    sends.excuse(tx, send.id, Excused(found.handed_over, found.hard, found.soft, found.complaints))
