"""The report of a send: what became of it; every part adds up to the audience. Holds domains, never addresses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailer.core.db import Database, Tx
from mailer.core.edition import by_text
from mailer.flows.sending.send_control import find
from mailer.store.publishing import editions
from mailer.store.sending import deliveries, send_reports
from mailer.store.sending.send_reports import Reason, Span
from mailer.store.sending.sends import Send

BARS = 120  # most intervals of the plot of the sending
DOMAINS = 20
REASONS = 30
DELAYS = (1, 5, 30, 120, 600, 3600, 21600)  # seconds; between them lie the slots of the plot of delays
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)  # seconds


@dataclass(frozen=True)
class Pace:
    """Mails in each interval of ``width`` seconds, without gaps, from the first mail to the last."""

    width: int
    mails: tuple[int, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """Mails a second."""
        return tuple(number / self.width for number in self.mails)


@dataclass(frozen=True)
class Domain:
    """One receiving domain (or, named "", all the others): deliveries in each state."""

    name: str
    states: dict[str, int]

    @property
    def total(self) -> int:
        """All its deliveries."""
        return sum(self.states.values())


@dataclass(frozen=True)
class Report:
    """Everything about one send. ``outcomes`` counts every state; ``domain_count`` how many domains there are.

    ``texts`` counts mails by the text that they were made from, when there was more than one.

    ``delays`` counts deliveries by the time from our hand to the reader's server, in the slots that DELAYS separate.
    """

    send: Send
    made_at: datetime
    outcomes: dict[str, int]
    span: Span
    pace: Pace
    reasons: tuple[Reason, ...]
    domains: tuple[Domain, ...]
    domain_count: int
    delays: tuple[int, ...]
    texts: dict[str, int]

    @property
    def total(self) -> int:
        """All deliveries."""
        return sum(self.outcomes.values())

    @property
    def adds_up(self) -> bool:
        """Are the sum of the outcomes and the sum of the domains both the audience?"""
        return self.total == (self.send.audience_size or 0) == sum(domain.total for domain in self.domains)

    @property
    def seconds(self) -> float:
        """From the first mail to the last."""
        return (self.span.last - self.span.first).total_seconds() if self.span.first and self.span.last else 0.0

    @property
    def rate(self) -> float:
        """Mails a second on average; 0 when they all left in the same moment."""
        return self.span.mails / self.seconds if self.seconds else 0.0

    def sum_sentence(self) -> str:
        """The sum, spelled out."""
        if self.send.audience_size is None:
            return "The audience is not frozen yet: it is counted when the send is due."
        parts = " + ".join(f"{number:,} {state}" for state, number in self.outcomes.items() if number) or "0"
        if self.adds_up:
            return f"The sums add up: {parts} = {self.send.audience_size:,} readers in the audience."
        return f"The sums do NOT add up: {parts} = {self.total:,}, but the audience has {self.send.audience_size:,} readers."


def report(database: Database, target: str) -> Report:
    """The report of the send with this id, or the newest of this issue. Raises BadInput when there is none."""
    with database.transaction() as tx:
        send_reports.steady(tx)
        send = find(tx, target)
        span = send_reports.span(tx, send.id)
        width = _width(span)
        mails = send_reports.pace(tx, send.id, span.first, timedelta(seconds=width)) if span.first else {}
        slots = send_reports.delays(tx, send.id, DELAYS)
        cells, domain_count = send_reports.domains(tx, send.id, DOMAINS)
        return Report(
            send=send,
            made_at=datetime.now(UTC),
            outcomes=deliveries.counts(tx, [send.id])[send.id],
            span=span,
            pace=Pace(width, tuple(mails.get(slot, 0) for slot in range(max(mails, default=-1) + 1))),
            reasons=tuple(send_reports.reasons(tx, send.id, REASONS)),
            domains=_domains(cells),
            domain_count=domain_count,
            texts=_texts(tx, send),
            delays=tuple(slots.get(slot, 0) for slot in range(len(DELAYS) + 1)),
        )


def _texts(tx: Tx, send: Send) -> dict[str, int]:
    found = send_reports.texts(tx, send.id)
    return by_text(found, editions.get(tx, send.edition_id).lang) if set(found) - {""} else {}


def _width(span: Span) -> int:
    seconds = (span.last - span.first).total_seconds() if span.first and span.last else 0.0
    return next((width for width in _WIDTHS if seconds / width <= BARS), math.ceil(seconds / BARS))


def _domains(cells: list[send_reports.Cell]) -> tuple[Domain, ...]:
    found: dict[str, dict[str, int]] = {}
    for cell in cells:
        found.setdefault(cell.domain, {})[cell.state] = cell.number
    return tuple(Domain(name, states) for name, states in sorted(found.items(), key=lambda pair: pair[0] == ""))


def report_facts(found: Report) -> dict[str, Any]:
    """The report for machines."""
    send = found.send
    return {
        "id": send.id,
        "issue": send.issue_key,
        "edition": send.edition_number,
        "digest": send.digest,
        "subject": send.subject,
        "state": str(send.state),
        "reason": send.reason,
        "audience": send.audience_size,
        "rule": send.audience,
        "deliveries": found.outcomes,
        "sum": found.total,
        "adds_up": found.adds_up,
        "first_mail_at": found.span.first,
        "last_mail_at": found.span.last,
        "seconds": round(found.seconds, 3),
        "mails_per_second": round(found.rate, 2),
        "pace": {"seconds_each": found.pace.width, "mails": list(found.pace.mails)},
        "delays": {"up_to_seconds": [*DELAYS, None], "deliveries": list(found.delays)},
        "texts": found.texts,
        "reasons": [vars(reason) for reason in found.reasons],
        "domains": [{"domain": one.name or "others", "total": one.total, **one.states} for one in found.domains],
        "domain_count": found.domain_count,
        "made_at": found.made_at,
    }
