"""Who may read what we sell: every state of Stripe, in a table. The same table stands in docs/how-to/paid.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailer.flows.billing.entitlements import Standing, State, of_subscription, standing
from mailer.store.billing.entitlements import Grant
from mailer.store.billing.subscriptions import Kept

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DAY = timedelta(days=1)
GRACE = 14 * DAY


def kept(**more: Any) -> Kept:
    values: dict[str, Any] = {
        "stripe_id": "sub_1", "version": 1, "customer_id": "cus_1", "subscriber_id": 1, "plan": "monthly", "status": "active",
        "amount": 500, "currency": "eur", "months": 1, "collection_paused": False, "pause_kind": "", "paid_until": None,
        "paused_at": None, "resumes_at": None, "cancel_at": None, "trial_end": None, "period_start": NOW - 20 * DAY,
        "period_end": NOW + 10 * DAY, "started_at": NOW - 50 * DAY, "ended_at": None, "invoice_id": "in_1",
        "invoice_status": "paid", "invoice_at": NOW - 20 * DAY, "refunded": False, "dispute": "", "disputed_at": None,
        **more,
    }  # fmt: skip
    return Kept(**values)


FOREVER = None
TABLE: list[tuple[dict[str, Any], State, bool, datetime | None]] = [
    ({"status": "incomplete"}, State.FREE, False, None),
    ({"status": "incomplete_expired"}, State.FREE, False, None),
    ({"status": ""}, State.FREE, False, None),
    ({"status": "trialing", "trial_end": NOW + DAY}, State.TRIALING, True, FOREVER),
    ({"status": "trialing", "pause_kind": "kept"}, State.PAYING, True, FOREVER),
    ({"status": "active"}, State.PAYING, True, FOREVER),
    ({"status": "active", "cancel_at": NOW + 9 * DAY}, State.ENDING, True, NOW + 9 * DAY),
    ({"status": "trialing", "cancel_at": NOW + 3 * DAY}, State.ENDING, True, NOW + 3 * DAY),
    ({"status": "active", "cancel_at": NOW - DAY}, State.ENDED, False, None),
    ({"status": "past_due", "invoice_status": "open", "invoice_at": NOW - DAY}, State.PAST_DUE, True, NOW + 13 * DAY),
    ({"status": "past_due", "invoice_status": "open", "invoice_at": NOW - 15 * DAY}, State.ENDED, False, None),
    ({"status": "past_due", "invoice_at": None, "period_start": NOW}, State.PAST_DUE, True, NOW + 14 * DAY),
    ({"status": "unpaid", "invoice_status": "open"}, State.ENDED, False, None),
    ({"status": "canceled", "ended_at": NOW - 25 * DAY, "period_end": NOW - 25 * DAY}, State.ENDED, False, None),
    ({"status": "canceled", "ended_at": NOW - DAY}, State.ENDING, True, NOW + 10 * DAY),
    ({"status": "canceled", "ended_at": NOW - DAY, "refunded": True}, State.ENDED, False, None),
    ({"status": "canceled", "ended_at": NOW - DAY, "invoice_status": "uncollectible"}, State.ENDED, False, None),
    ({"status": "paused"}, State.PAUSED, True, NOW + 10 * DAY),
    ({"collection_paused": True}, State.PAUSED, True, NOW + 10 * DAY),
    ({"collection_paused": True, "invoice_status": "void"}, State.PAUSED, False, None),
    ({"collection_paused": True, "pause_kind": "serve", "paid_until": NOW + 2 * DAY}, State.PAUSED, True, NOW + 2 * DAY),
    ({"collection_paused": True, "pause_kind": "serve", "paid_until": NOW - DAY}, State.PAUSED, False, None),
    ({"collection_paused": True, "pause_kind": "keep", "paid_until": NOW + 2 * DAY}, State.PAUSED, False, None),
    (
        {"status": "canceled", "ended_at": NOW, "pause_kind": "keep", "paused_at": NOW - 5 * DAY, "paid_until": NOW + 2 * DAY},
        State.ENDING, True, NOW + 7 * DAY,
    ),
    (
        {"status": "canceled", "ended_at": NOW, "pause_kind": "kept", "trial_end": NOW + 5 * DAY, "invoice_status": "void"},
        State.ENDING, True, NOW + 5 * DAY,
    ),
    (
        {"status": "canceled", "ended_at": NOW, "pause_kind": "kept", "trial_end": NOW - DAY, "invoice_status": "void"},
        State.ENDED, False, None,
    ),
    ({"dispute": "open", "disputed_at": NOW - DAY}, State.PAST_DUE, True, NOW + 13 * DAY),
    ({"dispute": "open", "disputed_at": NOW - 20 * DAY}, State.ENDED, False, None),
    ({"dispute": "won", "disputed_at": NOW - 20 * DAY}, State.PAYING, True, FOREVER),
    ({"dispute": "lost", "disputed_at": NOW - DAY}, State.ENDED, False, None),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "state", "premium", "until"), TABLE)
def test_each_state_of_stripe_leads_to_one_of_ours(
    facts: dict[str, Any], state: State, premium: bool, until: datetime | None
) -> None:
    assert of_subscription(kept(**facts), GRACE).at(NOW) == Standing(state, premium, until)


def test_a_reader_with_nothing_is_free() -> None:
    assert standing([], [], GRACE, NOW) == Standing(State.FREE)


def test_a_reader_gets_the_best_of_what_they_hold() -> None:
    ended = kept(status="canceled", ended_at=NOW - 30 * DAY, period_end=NOW - 30 * DAY)
    grant = Grant(1, "gift", NOW + 40 * DAY, "", NOW)
    assert standing([ended], [grant], GRACE, NOW) == Standing(State.COMPLIMENTARY, True, NOW + 40 * DAY)
    assert standing([kept()], [grant], GRACE, NOW) == Standing(State.PAYING, True, None)
    assert standing([ended], [], GRACE, NOW).state is State.ENDED


def test_a_gift_that_lasts_longer_than_a_subscription_that_ends_is_what_counts() -> None:
    ending = kept(cancel_at=NOW + 5 * DAY)
    grant = Grant(1, "gift", NOW + 40 * DAY, "", NOW)
    assert standing([ending], [grant], GRACE, NOW).until == NOW + 40 * DAY


def test_a_complimentary_reader_whose_time_is_over_has_ended() -> None:
    grant = Grant(1, "complimentary", NOW - DAY, "", NOW - 9 * DAY)
    assert standing([], [grant], GRACE, NOW) == Standing(State.ENDED)


def test_time_alone_ends_access() -> None:
    before = Standing(State.ENDING, True, NOW)
    assert before.at(NOW - timedelta(seconds=1)).opens(NOW - timedelta(seconds=1))
    assert before.at(NOW) == Standing(State.ENDED)
    assert Standing(State.PAUSED, True, NOW).at(NOW) == Standing(State.PAUSED)
