"""Links that end: each holds until its time is over, to the second, and not before it was made for forms and sums."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailer.core import tokens

SECRET, NOW, DAY = ("0123456789abcdef0123456789abcdef",), datetime(2026, 11, 24, 12, tzinfo=UTC), timedelta(days=1)
Read = Callable[[datetime], object]
LINKS: dict[str, Read] = {
    "confirm": lambda now: tokens.read_confirm(SECRET, tokens.confirm_token(SECRET, 1, 2, NOW), now, DAY),
    "page": lambda now: tokens.read_page(SECRET, tokens.page_token(SECRET, 1, NOW), now, DAY),
    "address": lambda now: tokens.read_address(SECRET, tokens.address_token(SECRET, 1, 2, NOW), now, DAY),
    "export": lambda now: tokens.read_export(SECRET, tokens.export_token(SECRET, 1, NOW), now, DAY),
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
    claim = tokens.read_leave(SECRET, tokens.leave_token(SECRET, 7, 9))
    assert claim == tokens.LeaveClaim(7, 9)


def test_each_link_names_whom_and_what_it_is_for() -> None:
    confirm = tokens.read_confirm(SECRET, tokens.confirm_token(SECRET, 7, 9, NOW), NOW, DAY)
    assert confirm == tokens.ConfirmClaim(7, 9, NOW)
    assert tokens.read_address(SECRET, tokens.address_token(SECRET, 7, 9, NOW), NOW, DAY) == tokens.ConfirmClaim(7, 9, NOW)
    assert tokens.read_paid(SECRET, tokens.paid_token(SECRET, 7, 3)) == (7, 3)
    assert tokens.read_canary(SECRET, tokens.canary_token(SECRET, 7, 9)) == (7, 9)
    assert tokens.read_gift(SECRET, tokens.gift_token(SECRET, 7)) == 7
    assert tokens.read_export(SECRET, tokens.export_token(SECRET, 7, NOW), NOW, DAY) == 7
    assert tokens.read_page(SECRET, tokens.page_token(SECRET, 7, NOW), NOW, DAY) == 7
