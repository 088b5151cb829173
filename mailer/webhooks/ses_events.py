"""Parse SES's events about an email. No database, no network.

The format is "Contents of event data that Amazon SES publishes to Amazon SNS" of AWS's SES guide (event publishing, with
``eventType`` and ``mail.tags``); the older notifications of an identity (``notificationType``, without tags) are read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from mailer.core.characters import without_addresses
from mailer.core.errors import BadInput, Refused
from mailer.exchange.email_outcomes import EventKind, classify_bounce, classify_complaint

MAX_DETAIL_CHARS = 200  # characters
MAX_ADDRESS_CHARS = 320
LINK_TAGS = {"kind": "link"}  # of emails to operators and reviewers that have a link and are in no table
_MAX_ID_DIGITS = 18  # longer numbers do not fit into a bigint
_IGNORED = frozenset({"Open", "Click", "Subscription"})
_GREETING = "Successfully validated SNS topic"  # SES sends it once, when a topic is connected


@dataclass(frozen=True, slots=True)
class SesEvent:
    """An event about an email: ``send_id`` and ``subscriber_id``, ``email_id`` (transactional), ``test_id``, or ``message_id``.

    Ids are 0 when the event does not carry the tag. ``detail`` never holds an address. ``at`` is SES's time of the event.
    ``link_to`` is the recipient of an email with a link that is in no table (``LINK_TAGS``), '' for all others.
    """

    kind: EventKind
    at: datetime
    message_id: str
    send_id: int = 0
    subscriber_id: int = 0
    email_id: int = 0
    subtype: str = ""
    detail: str = ""
    test_id: int = 0
    link_to: str = ""

    @property
    def key(self) -> tuple[int, ...]:
        """What identifies its email in a ledger: a delivery's send and subscriber, or a transactional email's id; or ()."""
        if self.send_id and self.subscriber_id:
            return self.send_id, self.subscriber_id
        return (self.email_id,) if self.email_id else ()


def read_event(body: str, topic: str = "") -> SesEvent | None:
    """Parse the event in a message of the queue, bare or in SNS's envelope; None for kinds we ignore (opens, clicks).

    Raises BadInput for what cannot be read, Refused for an envelope of another topic than ``topic`` (when one is given).
    """
    facts = _load_json(body)
    if "TopicArn" in facts and "Message" in facts:
        if topic and facts["TopicArn"] != topic:
            raise Refused("The message is from another topic than the one in POSTMERGE_SNS_TOPIC and is not taken.")
        if facts.get("Type") != "Notification":
            raise BadInput(f"The queue holds a message of the kind {str(facts.get('Type'))[:40]!r}, which is no event.")
        return parse_event(str(facts["Message"]))
    return _make_event(facts)


def parse_event(body: str) -> SesEvent | None:
    """Parse the event in SES's JSON; None for kinds we ignore. Raises BadInput for what cannot be read."""
    if body.startswith(_GREETING):
        return None
    return _make_event(_load_json(body))


def _make_event(facts: Mapping[str, Any]) -> SesEvent | None:
    kind = facts.get("eventType") or facts.get("notificationType")
    if not isinstance(kind, str):
        raise BadInput("The event does not say of what kind it is.")
    if kind in _IGNORED:
        return None
    part = _PART_PARSERS.get(kind)
    if part is None:
        raise BadInput(f"The event is of the kind {kind[:40]!r}, which is not known here.")
    try:
        about, (name, parse_part) = facts["mail"], part
        tags = about.get("tags") or {}
        found, when, subtype, detail = parse_part(facts.get(name) or {})
        return SesEvent(
            kind=found,
            at=_parse_moment(when or about["timestamp"]),
            message_id=_plain_text(str(about["messageId"]), 200),
            send_id=_parse_number(tags, "send"),
            subscriber_id=_parse_number(tags, "subscriber"),
            email_id=_parse_number(tags, "mail"),
            subtype=_plain_text(subtype, 40),
            detail=_plain_text(detail, MAX_DETAIL_CHARS),
            test_id=_parse_number(tags, "test"),
            link_to=str(about["destination"][0])[:MAX_ADDRESS_CHARS] if tags.get("kind") == [LINK_TAGS["kind"]] else "",
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise BadInput(f"The event of the kind {kind!r} lacks a part of its kind ({type(error).__name__}).") from error


_Part = tuple[EventKind, str, str, str]  # kind, timestamp, subtype, detail


def _read_send(part: Mapping[str, Any]) -> _Part:
    return EventKind.SEND, "", "", ""


def _read_delivery(part: Mapping[str, Any]) -> _Part:
    return EventKind.DELIVERY, part["timestamp"], "", str(part.get("smtpResponse") or "")


def _read_bounce(part: Mapping[str, Any]) -> _Part:
    type_, subtype = str(part["bounceType"]), str(part.get("bounceSubType") or "")
    recipients = part.get("bouncedRecipients") or [{}]
    has_status = any(one.get(name) for one in recipients for name in ("action", "status", "diagnosticCode"))
    kind = classify_bounce(type_, subtype, has_status)
    if type_ == "Undetermined":
        subtype = type_
    first = recipients[0]
    return kind, part["timestamp"], subtype, str(first.get("diagnosticCode") or first.get("status") or "")


def _read_complaint(part: Mapping[str, Any]) -> _Part:
    feedback, subtype = str(part.get("complaintFeedbackType") or ""), str(part.get("complaintSubType") or "")
    return classify_complaint(feedback, subtype), part["timestamp"], subtype or feedback, ""


def _read_delay(part: Mapping[str, Any]) -> _Part:
    first = (part.get("delayedRecipients") or [{}])[0]
    return EventKind.DELAY, part["timestamp"], str(part.get("delayType") or ""), str(first.get("diagnosticCode") or "")


def _read_reject(part: Mapping[str, Any]) -> _Part:
    return EventKind.REJECT, "", "", str(part.get("reason") or "")


def _read_failure(part: Mapping[str, Any]) -> _Part:
    return EventKind.RENDERING_FAILURE, "", "", str(part.get("errorMessage") or "")


_PART_PARSERS = {
    "Send": ("send", _read_send),
    "Delivery": ("delivery", _read_delivery),
    "Bounce": ("bounce", _read_bounce),
    "Complaint": ("complaint", _read_complaint),
    "DeliveryDelay": ("deliveryDelay", _read_delay),
    "Reject": ("reject", _read_reject),
    "Rendering Failure": ("failure", _read_failure),
}


def _load_json(body: str) -> dict[str, Any]:
    try:
        facts = orjson.loads(body)
    except ValueError as error:
        raise BadInput("The event is not JSON.") from error
    if not isinstance(facts, dict):
        raise BadInput("The event is JSON but no object.")
    return facts


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_number(tags: Mapping[str, Any], name: str) -> int:
    values = tags.get(name)
    value = values[0] if isinstance(values, list) and values else values
    fits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MAX_ID_DIGITS
    return int(value) if isinstance(value, str) and fits else 0


def _plain_text(text: str, most: int) -> str:
    """Remove addresses, and characters that a database or a terminal does not accept."""
    text = without_addresses(text)
    if text.isprintable():
        return text[:most]
    return "".join(character if character.isprintable() else " " for character in text)[:most]
