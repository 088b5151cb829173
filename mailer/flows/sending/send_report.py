"""The report of a send: its outcomes, which add up to the audience. Contains domains, never addresses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailer.core.db import Database, Tx
from mailer.core.edition import by_text
from mailer.flows.sending.send_control import find_send
from mailer.store.publishing import editions
from mailer.store.sending import deliveries, send_reports
from mailer.store.sending.send_reports import OutcomeReason, SendSpan
from mailer.store.sending.sends import Send

MAX_INTERVALS = 120  # in the timeline
MAX_DOMAINS = 20
MIN_RATED_EMAILS = 50  # fewer say nothing about a rate
MAX_REASONS = 30
DELAY_BOUNDS_SECONDS = (1, 5, 30, 120, 600, 3600, 21600)  # they separate the slots of the delay chart
_INTERVAL_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


@dataclass(frozen=True)
class SendTimeline:
    """The number of emails in each interval of ``width`` seconds, without gaps, from the first email to the last."""

    width: int
    emails: tuple[int, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """Emails per second."""
        return tuple(number / self.width for number in self.emails)


@dataclass(frozen=True)
class DomainOutcomes:
    """One receiving domain (or, named "", all other domains): its deliveries in each state."""

    name: str
    states: dict[str, int]

    @property
    def total(self) -> int:
        """The number of its deliveries."""
        return sum(self.states.values())


@dataclass(frozen=True)
class SendReport:
    """Everything about one send: ``outcomes`` counts the deliveries by state, ``domain_count`` the domains.

    ``texts`` counts the emails by variant, when there was more than one. ``delays`` counts the deliveries by the time from
    claim to the recipient's server, in the slots that DELAY_BOUNDS_SECONDS separates.
    """

    send: Send
    made_at: datetime
    outcomes: dict[str, int]
    span: SendSpan
    timeline: SendTimeline
    reasons: tuple[OutcomeReason, ...]
    domains: tuple[DomainOutcomes, ...]
    domain_count: int
    delays: tuple[int, ...]
    texts: dict[str, int]

    @property
    def total(self) -> int:
        """The number of deliveries."""
        return sum(self.outcomes.values())

    @property
    def adds_up(self) -> bool:
        """Whether the outcomes and the domains both sum to the size of the audience."""
        return self.total == (self.send.audience_size or 0) == sum(domain.total for domain in self.domains)

    @property
    def seconds(self) -> float:
        """From the first email to the last."""
        return (self.span.last - self.span.first).total_seconds() if self.span.first and self.span.last else 0.0

    @property
    def rate(self) -> float:
        """Emails per second on average; 0 when they all left at the same moment, or were too few."""
        return self.span.emails / self.seconds if self.seconds and self.span.emails >= MIN_RATED_EMAILS else 0.0

    def sum_sentence(self) -> str:
        """Spell out the sum."""
        if self.send.audience_size is None:
            return "The audience is not frozen yet: it is counted when the send starts."
        parts = " + ".join(f"{number:,} {state}" for state, number in self.outcomes.items() if number) or "0"
        if self.adds_up:
            return f"The sums add up: {parts} = {self.send.audience_size:,} subscribers in the audience."
        size = self.send.audience_size
        return f"The sums do NOT add up: {parts} = {self.total:,}, but the audience has {size:,} subscribers."


def make_report(database: Database, target: str) -> SendReport:
    """Make the report of the send with this id, or of an issue's newest send. Raises BadInput when there is none."""
    with database.transaction() as tx:
        send_reports.use_one_snapshot(tx)
        send = find_send(tx, target)
        span = send_reports.read_span(tx, send.id)
        width = _choose_width(span)
        emails = send_reports.count_by_interval(tx, send.id, span.first, timedelta(seconds=width)) if span.first else {}
        slots = send_reports.count_by_delay(tx, send.id, DELAY_BOUNDS_SECONDS)
        cells, domain_count = send_reports.count_by_domain(tx, send.id, MAX_DOMAINS)
        return SendReport(
            send=send,
            made_at=datetime.now(UTC),
            outcomes=deliveries.count_by_state(tx, [send.id])[send.id],
            span=span,
            timeline=SendTimeline(width, tuple(emails.get(slot, 0) for slot in range(max(emails, default=-1) + 1))),
            reasons=tuple(send_reports.list_reasons(tx, send.id, MAX_REASONS)),
            domains=_count_domains(cells),
            domain_count=domain_count,
            texts=_count_texts(tx, send),
            delays=tuple(slots.get(slot, 0) for slot in range(len(DELAY_BOUNDS_SECONDS) + 1)),
        )


def make_empty(send: Send) -> SendReport:
    """Return a report without outcomes, until they are counted."""
    return SendReport(
        send=send, made_at=datetime.now(UTC), outcomes={}, span=SendSpan(None, None, 0), timeline=SendTimeline(1, ()),
        reasons=(), domains=(), domain_count=0, delays=(), texts={},
    )  # fmt: skip


def _count_texts(tx: Tx, send: Send) -> dict[str, int]:
    found = send_reports.count_by_text(tx, send.id)
    return by_text(found, editions.get(tx, send.edition_id).lang) if set(found) - {""} else {}


def _choose_width(span: SendSpan) -> int:
    seconds = (span.last - span.first).total_seconds() if span.first and span.last else 0.0
    return next((width for width in _INTERVAL_SECONDS if seconds / width <= MAX_INTERVALS), math.ceil(seconds / MAX_INTERVALS))


def _count_domains(cells: list[send_reports.DomainCount]) -> tuple[DomainOutcomes, ...]:
    found: dict[str, dict[str, int]] = {}
    for cell in cells:
        found.setdefault(cell.domain, {})[cell.state] = cell.number
    return tuple(DomainOutcomes(name, states) for name, states in sorted(found.items(), key=lambda pair: pair[0] == ""))


def report_facts(found: SendReport) -> dict[str, Any]:
    """The report as JSON-ready facts."""
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
        "first_email_at": found.span.first,
        "last_email_at": found.span.last,
        "seconds": round(found.seconds, 3),
        "emails_per_second": round(found.rate, 2) if found.rate else None,
        "timeline": {"interval_seconds": found.timeline.width, "emails": list(found.timeline.emails)},
        "delays": {"up_to_seconds": [*DELAY_BOUNDS_SECONDS, None], "deliveries": list(found.delays)},
        "texts": found.texts,
        "reasons": [vars(reason) for reason in found.reasons],
        "domains": [{"domain": one.name or "others", "total": one.total, **one.states} for one in found.domains],
        "domain_count": found.domain_count,
        "made_at": found.made_at,
    }
