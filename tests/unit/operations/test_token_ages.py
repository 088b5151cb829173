"""Links that end: each holds until its time is over, to the second, and not before it was made for forms and sums."""

from __future__ import annotations

import base64
import hmac
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailer.core import tokens

SECRET, NOW, DAY = ("0123456789abcdef0123456789abcdef",), datetime(2026, 11, 24, 12, tzinfo=UTC), timedelta(days=1)
TO = tokens.Recipient(7, "ada@example.org", 3)
Read = Callable[[datetime], object]
LINKS: dict[str, Read] = {
    "confirm": lambda now: tokens.read_confirm(SECRET, tokens.confirm_token(SECRET, TO, 2, NOW), now, DAY),
    "page": lambda now: tokens.read_page(SECRET, tokens.page_token(SECRET, TO, NOW), now, DAY),
    "address": lambda now: tokens.read_address(SECRET, tokens.address_token(SECRET, TO, 2, NOW), now, DAY),
    "reviewer": lambda now: tokens.read_reviewer(SECRET, tokens.reviewer_token(SECRET, 1, NOW), now, DAY),
    "export": lambda now: tokens.read_export(SECRET, tokens.export_token(SECRET, 1, 2, NOW), now, DAY),
}
FORMS: dict[str, Read] = {
    "form": lambda now: tokens.check_form(SECRET, tokens.form_token(SECRET, NOW), now, timedelta(0), DAY),
    "sum": lambda now: any(
        tokens.read_work(SECRET, f"{token}:{n}", now, DAY) for token in [tokens.work_token(SECRET, NOW, 0)] for n in range(2)
    ),
}


@pytest.mark.parametrize("name", [*LINKS, *FORMS])
@pytest.mark.parametrize(("age", "holds"), [(timedelta(0), True), (DAY, True), (DAY + timedelta(seconds=1), False)])
def test_a_link_holds_to_the_second(name: str, age: timedelta, holds: bool) -> None:
    assert bool((LINKS | FORMS)[name](NOW + age)) is holds


@pytest.mark.parametrize("name", FORMS)
def test_a_form_from_the_future_is_not_ours(name: str) -> None:
    assert not FORMS[name](NOW - timedelta(seconds=1))


def test_an_unsubscribe_link_never_expires_and_names_its_send() -> None:
    claim = tokens.read_unsubscribe(SECRET, tokens.unsubscribe_token(SECRET, TO, 9))
    assert claim
    assert (claim.subscriber_id, claim.epoch, claim.reference, claim.issued) == (7, 3, 9, None)


OPENED: dict[str, Callable[[], tokens.LinkClaim | None]] = {
    "leave": lambda: tokens.read_unsubscribe(SECRET, tokens.unsubscribe_token(SECRET, TO, 9)),
    "reading": lambda: tokens.read_reading(SECRET, tokens.reading_token(SECRET, TO)),
    "gift": lambda: tokens.read_gift(SECRET, tokens.gift_token(SECRET, TO, 9)),
    "page": lambda: tokens.read_page(SECRET, tokens.page_token(SECRET, TO, NOW), NOW, DAY),
    "paid": lambda: tokens.read_paid(SECRET, tokens.paid_token(SECRET, TO, NOW)),
    "confirm": lambda: tokens.read_confirm(SECRET, tokens.confirm_token(SECRET, TO, 9, NOW), NOW, DAY),
    "address": lambda: tokens.read_address(SECRET, tokens.address_token(SECRET, TO, 9, NOW), NOW, DAY),
}


@pytest.mark.parametrize("name", OPENED)
def test_every_private_link_ends_with_a_new_address_and_a_new_epoch(name: str) -> None:
    claim = OPENED[name]()
    assert claim
    assert claim.is_current(TO)
    assert not claim.is_current(replace(TO, link_epoch=4))
    assert not claim.is_current(replace(TO, email_normal="ada@new.example"))
    assert not claim.is_current(replace(TO, subscriber_id=8))
    assert claim.was_sent_to(TO.email_normal)
    assert not claim.was_sent_to("ada@new.example")


def test_each_link_names_what_it_belongs_to() -> None:
    found = {name: read() for name, read in OPENED.items()}
    assert {name: claim.reference for name, claim in found.items() if claim and claim.reference} == dict.fromkeys(
        ("leave", "gift", "confirm", "address"), 9
    )
    assert tokens.read_canary(SECRET, tokens.canary_token(SECRET, 7, 9)) == (7, 9)
    assert tokens.read_export(SECRET, tokens.export_token(SECRET, 7, 9, NOW), NOW, DAY) == (7, 9)


def test_the_address_in_a_link_cannot_be_guessed_without_the_secret_and_is_checked_with_the_one_that_signed() -> None:
    others = ("another-secret-of-32-characters-1", *SECRET)
    claim = tokens.read_unsubscribe(others, tokens.unsubscribe_token(SECRET, TO, 9))
    assert claim
    assert claim.was_sent_to(TO.email_normal)
    assert tokens.unsubscribe_token(others, TO)[:24] != tokens.unsubscribe_token(SECRET, TO)[:24]


def test_an_unsubscribe_link_of_the_first_format_is_read_and_says_nothing_about_its_address() -> None:
    payload = struct.pack(">qq", 7, 9)
    mac = hmac.digest(SECRET[0].encode(), b"postmerge.leave\0" + payload, "sha256")[:16]
    claim = tokens.read_unsubscribe(SECRET, base64.urlsafe_b64encode(payload + mac).rstrip(b"=").decode())
    assert claim
    assert (claim.subscriber_id, claim.epoch, claim.reference) == (7, 1, 9)
    assert not claim.was_sent_to(TO.email_normal)


def test_nobody_can_guess_a_previews_address_or_open_its_paid_text_with_another_token() -> None:
    others = ("another-secret-of-32-characters-1",)
    [preview_id] = tokens.preview_ids(SECRET, "draft")
    assert len(preview_id) == tokens.PREVIEW_ID_CHARS
    assert tokens.preview_ids((*others, *SECRET), "draft") == (*tokens.preview_ids(others, "draft"), preview_id)
    assert len({preview_id, *tokens.preview_ids(SECRET, "other"), *tokens.preview_ids(others, "draft")}) == 3
    token = tokens.preview_reading_token(SECRET, preview_id)
    assert tokens.opens_preview((*others, *SECRET), token, preview_id)
    assert not tokens.opens_preview(others, token, preview_id)
    assert not tokens.opens_preview(SECRET, token, tokens.preview_ids(SECRET, "other")[0])
    assert not any(tokens.opens_preview(SECRET, one, preview_id) for one in (preview_id, "", "é", token[:-1]))


def test_links_in_emails_are_short() -> None:
    assert len(tokens.unsubscribe_token(SECRET, TO, 9)) == 48
    assert len(tokens.paid_token(SECRET, TO, NOW)) == 59
