"""Public ids say their kind, and a wrong character is noticed."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.core import public_ids

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
TYPE_ID = rf"(?:sub)_[0-7][{ALPHABET}]{{25}}"

# The contract has more types of events; the others never happen here.
SUPPORTED_EVENTS = {
    "subscriber.created",
    "subscriber.confirmed",
    "subscriber.unsubscribed",
    "subscriber.type.changed",
    "subscriber.tags.changed",
    "subscriber.updated",
    "subscriber.changed_email",
    "subscriber.paused",
    "subscriber.resumed",
    "subscriber.deleted",
    "subscriber.sent",
    "subscriber.delivered",
    "subscriber.deferred",
    "subscriber.bounced",
    "subscriber.complained",
    "subscriber.rejected",
    "subscriber.activation_delivered",
    "subscriber.activation_deferred",
    "subscriber.activation_bounced",
    "subscriber.activation_complained",
    "subscriber.activation_rejected",
    "email.created",
    "email.status.changed",
    "email.send.started",
    "email.sent",
}


def as_uuid(public: str) -> str:
    """The 128 bits of an id, written as a UUID."""
    bits = "".join(f"{ALPHABET.index(symbol):05b}" for symbol in public.removeprefix("sub_"))
    return str(uuid.UUID(int=int(bits, 2)))


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_an_id_leads_back_to_its_row_and_to_no_other_kind(number: int) -> None:
    public = public_ids.public("sub", number)
    assert re.fullmatch(TYPE_ID, public)
    assert public_ids.number("sub", public) == public_ids.number("sub", as_uuid(public)) == number
    assert public_ids.number("em", public) is None
    assert public_ids.number("em", public.replace("sub_", "em_")) is None


@pytest.mark.parametrize("text", ["", "sub_", "sub_x", "9" * 30, "-1", "²", "sub_" + "z" * 26, "\0"])
def test_what_is_no_id_leads_nowhere(text: str) -> None:
    assert public_ids.number("sub", text) is None


def test_every_event_that_can_happen_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z._]+)`", page, re.MULTILINE)) == set(SUPPORTED_EVENTS)


def test_every_event_that_the_triggers_write_is_listed() -> None:
    folder = Path(__file__).parents[3] / "mailer" / "migrations"
    sql = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql")))
    written = set(re.findall(r"'((?:subscriber|email)\.[a-z_.]+[a-z])'", sql))
    assert written <= set(SUPPORTED_EVENTS)
