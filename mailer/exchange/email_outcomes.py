"""What SES reports about an email, and what each report does: one table for the ledger, suppressions and circuit breakers.

SES's types and subtypes are those of "Contents of event data that Amazon SES publishes to Amazon SNS"; its types of feedback
are those that IANA registers for RFC 5965, RFC 6430 and RFC 6591. ``docs/reference/email-outcomes.md`` is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class EventKind(StrEnum):
    """What happened to an email."""

    SEND = "send"
    DELAY = "delay"
    DELIVERY = "delivery"
    REJECT = "reject"
    RENDERING_FAILURE = "rendering failure"
    AUTOMATIC_REPLY = "automatic reply"
    PROVIDER_REPORT = "provider report"
    PROVIDER_SUPPRESSION = "provider suppression"
    GENERAL_BOUNCE = "general bounce"
    CONTENT_BOUNCE = "content bounce"
    SOFT_BOUNCE = "soft bounce"
    HARD_BOUNCE = "hard bounce"
    COMPLAINT = "complaint"
    NOT_SPAM = "not spam"


@dataclass(frozen=True)
class Effect:
    """What an event does.

    ``state`` is what it proves about the email, and ``rank`` how strongly: an email's state is that of the highest rank known.
    ``suppression`` and ``breaker`` are the sentences of the reference: what it does to the address, and to a running send.
    """

    state: str
    rank: int
    meaning: str
    suppression: str = "none"
    breaker: str = "none"


_SOFT = "after several emails"
EFFECTS = {
    EventKind.DELAY: Effect("", 0, "the subscriber's server delayed it; SES tries again"),
    EventKind.SEND: Effect("accepted", 1, "SES accepted it"),
    EventKind.AUTOMATIC_REPLY: Effect("accepted", 1, "an automatic reply, such as out of office"),
    EventKind.PROVIDER_REPORT: Effect("accepted", 1, "a report about the content or its signature, not by the subscriber"),
    EventKind.REJECT: Effect("failed", 2, "SES refused it"),
    EventKind.RENDERING_FAILURE: Effect("failed", 2, "SES could not render it"),
    EventKind.PROVIDER_SUPPRESSION: Effect("skipped", 3, "SES didn't send it: the address is on a list of its own"),
    EventKind.GENERAL_BOUNCE: Effect(
        "bounced", 4, "a bounce without a cause; not counted if the email was delivered", _SOFT, "soft bounces"
    ),
    EventKind.DELIVERY: Effect("delivered", 5, "the subscriber's server accepted it"),
    EventKind.CONTENT_BOUNCE: Effect("bounced", 6, "the server refused the content or the size"),
    EventKind.SOFT_BOUNCE: Effect("bounced", 7, "a temporary failure that SES gave up on", _SOFT, "soft bounces"),
    EventKind.HARD_BOUNCE: Effect("bounced", 8, "the address doesn't accept email", "at once", "hard bounces"),
    EventKind.COMPLAINT: Effect("complained", 9, "the subscriber reported it as spam", "at once, for the inbox", "complaints"),
    EventKind.NOT_SPAM: Effect(
        "delivered",
        10,
        "the subscriber takes the complaint back",
        "ends, unless another complaint or the operator's block stands",
    ),
}

# SES's bounce types and subtypes; the subtype "" stands for any other.
BOUNCES = {
    ("Undetermined", ""): EventKind.GENERAL_BOUNCE,
    ("Permanent", ""): EventKind.HARD_BOUNCE,
    ("Permanent", "General"): EventKind.HARD_BOUNCE,
    ("Permanent", "NoEmail"): EventKind.HARD_BOUNCE,
    ("Permanent", "Suppressed"): EventKind.PROVIDER_SUPPRESSION,
    ("Permanent", "OnAccountSuppressionList"): EventKind.PROVIDER_SUPPRESSION,
    ("Permanent", "OnTenantSuppressionList"): EventKind.PROVIDER_SUPPRESSION,
    ("Permanent", "EmailValidationSuppressed"): EventKind.PROVIDER_SUPPRESSION,
    ("Permanent", "UnsubscribedRecipient"): EventKind.PROVIDER_SUPPRESSION,
    ("Transient", ""): EventKind.SOFT_BOUNCE,
    ("Transient", "General"): EventKind.GENERAL_BOUNCE,
    ("Transient", "MailboxFull"): EventKind.SOFT_BOUNCE,
    ("Transient", "CustomTimeoutExceeded"): EventKind.SOFT_BOUNCE,
    ("Transient", "MessageTooLarge"): EventKind.CONTENT_BOUNCE,
    ("Transient", "ContentRejected"): EventKind.CONTENT_BOUNCE,
    ("Transient", "AttachmentRejected"): EventKind.CONTENT_BOUNCE,
}

# The types of feedback in a complaint; "" stands for any other, and for complaints without a type.
COMPLAINTS = {
    "": EventKind.COMPLAINT,
    "abuse": EventKind.COMPLAINT,
    "fraud": EventKind.COMPLAINT,
    "other": EventKind.COMPLAINT,
    "auth-failure": EventKind.PROVIDER_REPORT,
    "virus": EventKind.PROVIDER_REPORT,
    "not-spam": EventKind.NOT_SPAM,
}
# Subtypes of complaints about emails that SES never sent.
SUPPRESSED_COMPLAINTS = ("OnAccountSuppressionList", "OnTenantSuppressionList")

# Bounces that may be automatic replies: without the parts of a delivery status notification (RFC 3464) they are.
_UNCLEAR_BOUNCES = (("Transient", "General"),)


def classify_bounce(type_: str, subtype: str, has_status: bool) -> EventKind:
    """Return the kind of a bounce; ``has_status`` if the recipient's server sent a delivery status notification."""
    if (type_, subtype) in _UNCLEAR_BOUNCES and not has_status:
        return EventKind.AUTOMATIC_REPLY
    return BOUNCES.get((type_, subtype)) or BOUNCES.get((type_, "")) or EventKind.SOFT_BOUNCE


def classify_complaint(feedback: str, subtype: str) -> EventKind:
    """Return the kind of a complaint, by the type in the feedback report and SES's own subtype."""
    if subtype in SUPPRESSED_COMPLAINTS:
        return EventKind.PROVIDER_SUPPRESSION
    return COMPLAINTS.get(feedback.strip().lower(), EventKind.COMPLAINT)


_USUAL = (EventKind.SEND, EventKind.REJECT, EventKind.DELIVERY, EventKind.SOFT_BOUNCE, EventKind.COMPLAINT)


@cache
def rank_sql(table: str) -> str:
    """Return a state's rank in SQL: a row changes only to a higher rank, so that the order of events does not matter.

    A state that no event set, but the sending worker or a person, ranks as the usual event that proves it.
    """
    ranked = {kind: effect for kind, effect in EFFECTS.items() if effect.rank}
    proven = "\n".join(
        f"WHEN {table}.state = '{effect.state}' AND {table}.event_kind = '{kind}' THEN {effect.rank}"
        for kind, effect in ranked.items()
    )
    others = "\n".join(f"WHEN {table}.state = '{EFFECTS[kind].state}' THEN {EFFECTS[kind].rank}" for kind in _USUAL)
    return f"CASE\n{proven}\n{others}\nELSE 0 END"
