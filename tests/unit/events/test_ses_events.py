from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.core.errors import BadInput, Refused
from mailer.exchange.email_outcomes import BOUNCES, COMPLAINTS, SUPPRESSED_COMPLAINTS, EventKind
from mailer.fakes.fake_events import AcceptedEmail, FakeEvent, event_json
from mailer.webhooks import ses_events
from mailer.webhooks.ses_events import parse_event, read_event

AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
EMAIL = AcceptedEmail("0107-abc-000000", "ada@example.org", {"send": "12", "subscriber": "34"}, "Hello", AT.timestamp())
TOPIC = "arn:aws:sns:eu-central-1:123456789012:events"


def event(kind: str, **changes: Any) -> str:
    return json.dumps({**event_json(FakeEvent(kind, EMAIL, AT.timestamp() + 1)), **changes})


@pytest.mark.parametrize(
    ("said", "kind", "subtype"),
    [
        ("Send", EventKind.SEND, ""),
        ("Delivery", EventKind.DELIVERY, ""),
        ("Permanent", EventKind.HARD_BOUNCE, "General"),
        ("Transient", EventKind.SOFT_BOUNCE, "MailboxFull"),
        ("Undetermined", EventKind.GENERAL_BOUNCE, "Undetermined"),
        ("Complaint", EventKind.COMPLAINT, "abuse"),
        ("DeliveryDelay", EventKind.DELAY, "MailboxFull"),
        ("Reject", EventKind.REJECT, ""),
    ],
)
def test_each_kind_is_read_with_its_tags(said: str, kind: EventKind, subtype: str) -> None:
    found = parse_event(event(said))
    assert found is not None
    assert (found.kind, found.subtype, found.send_id, found.subscriber_id) == (kind, subtype, 12, 34)
    assert found.message_id == EMAIL.message_id
    assert found.at.tzinfo is not None


def test_a_time_that_no_clock_in_utc_shows_is_refused_here_and_not_by_the_database() -> None:
    said = event("Delivery").replace(json.loads(event("Delivery"))["delivery"]["timestamp"], "9999-12-31T23:59:59-23:00")
    with pytest.raises(BadInput, match="OverflowError"):
        parse_event(said)


def test_a_rendering_failure_is_read() -> None:
    failure = {"templateName": "t", "errorMessage": "Attribute 'name' is not present for ada@example.org"}
    found = parse_event(event("Send", eventType="Rendering Failure", failure=failure))
    assert found is not None
    assert (found.kind, found.detail) == (EventKind.RENDERING_FAILURE, "Attribute 'name' is not present for (address)")


def test_details_hold_no_addresses() -> None:
    for kind in ("Permanent", "Transient"):
        found = parse_event(event(kind))
        assert found is not None
        assert "(address)" in found.detail
        assert "@" not in found.detail


def test_opens_clicks_and_the_greeting_of_a_new_topic_are_of_no_interest() -> None:
    assert parse_event(event("Send", eventType="Open")) is None
    assert parse_event(event("Send", eventType="Click")) is None
    assert parse_event("Successfully validated SNS topic for Amazon SES event publishing.") is None


def test_notifications_of_an_identity_are_read_without_tags() -> None:
    facts = json.loads(event("Permanent"))
    del facts["mail"]["tags"]
    facts["notificationType"] = facts.pop("eventType")
    found = parse_event(json.dumps(facts))
    assert found is not None
    assert (found.kind, found.send_id, found.message_id) == (EventKind.HARD_BOUNCE, 0, EMAIL.message_id)


def test_the_envelope_of_sns_is_opened_and_another_topic_refused() -> None:
    newsletter = json.dumps({"Type": "Notification", "TopicArn": TOPIC, "Message": event("Send")})
    found = read_event(newsletter, TOPIC)
    assert found is not None
    assert found.kind is EventKind.SEND
    assert read_event(event("Send"), TOPIC) == found
    with pytest.raises(Refused, match="another topic"):
        read_event(newsletter, TOPIC + "2")
    with pytest.raises(BadInput, match="SubscriptionConfirmation"):
        read_event(json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "Message": "x"}), TOPIC)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"eventType": "Elopement"}',
        '{"eventType": ["Send"]}',
        '{"eventType": "Send"}',
        '{"eventType": "Send", "mail": 7}',
        '{"eventType": "Delivery", "mail": {"messageId": "x", "timestamp": "2026"}}',
        '{"eventType": "Send", "mail": {"messageId": "x", "timestamp": "noon"}}',
        "[" * 100_000,
    ],
)
def test_broken_events_are_one_clear_error(body: str) -> None:
    with pytest.raises(BadInput, match="event"):
        read_event(body)


@pytest.mark.parametrize("value", ["", "x", "-1", "²", "9" * 19, "1" * 400, None, 7, ["7"]])
def test_a_tag_that_is_no_number_of_ours_is_no_tag(value: object) -> None:
    facts = json.loads(event("Send"))
    facts["mail"]["tags"]["send"] = [value]
    found = parse_event(json.dumps(facts))
    assert found is not None
    assert found.send_id == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_whatever_stands_in_an_event_it_is_read_or_refused(value: Any) -> None:
    for name in ("mail", "bounce", "eventType"):
        try:
            found = parse_event(event("Permanent", **{name: value}))
        except BadInput:
            continue
        assert found is None or isinstance(found, ses_events.SesEvent)


@pytest.mark.parametrize(("type_", "subtype"), BOUNCES)
def test_each_subtype_of_a_bounce_is_read_as_the_table_says(type_: str, subtype: str) -> None:
    found = parse_event(event(f"{type_}/{subtype or 'Unheard'}"))
    assert found is not None
    assert found.kind is BOUNCES[type_, subtype]


@pytest.mark.parametrize("feedback", COMPLAINTS)
def test_each_type_of_feedback_is_read_as_the_table_says_in_any_case(feedback: str) -> None:
    for written in {feedback or "unheard-of", feedback.upper() or "Unheard"}:
        found = parse_event(event(f"Complaint/{written}"))
        assert found is not None
        assert found.kind is COMPLAINTS[feedback]


@pytest.mark.parametrize("subtype", SUPPRESSED_COMPLAINTS)
def test_a_complaint_that_only_tells_of_ses_own_list_is_no_complaint(subtype: str) -> None:
    found = parse_event(event(f"Complaint/{subtype}"))
    assert found is not None
    assert (found.kind, found.subtype) == (EventKind.PROVIDER_SUPPRESSION, subtype)


def test_a_general_bounce_without_a_status_notification_is_an_automatic_reply() -> None:
    found = parse_event(event("AutomaticReply"))
    assert found is not None
    assert found.kind is EventKind.AUTOMATIC_REPLY


@pytest.mark.parametrize("recipients", [None, [], [{}]])
def test_a_bounce_that_names_no_recipient_is_read(recipients: object) -> None:
    facts = json.loads(event("Transient/MailboxFull"))
    facts["bounce"]["bouncedRecipients"] = recipients
    found = parse_event(json.dumps(facts))
    assert found is not None
    assert found.kind is EventKind.SOFT_BOUNCE
