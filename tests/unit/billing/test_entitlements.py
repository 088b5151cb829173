"""Who may read what we sell: every state of Stripe, in a table. The same table stands in docs/how-to/paid.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailer.flows.billing.entitlements import Entitlement, EntitlementState, decide_entitlement, decide_for_subscription
from mailer.store.billing.entitlement_records import EntitlementGrant
from mailer.store.billing.subscriptions import StoredSubscription

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DAY = timedelta(days=1)
GRACE = 14 * DAY


def kept(**more: Any) -> StoredSubscription:
    values: dict[str, Any] = {
        "stripe_id": "sub_1", "version": 1, "customer_id": "cus_1", "subscriber_id": 1, "plan": "monthly", "status": "active",
        "amount": 500, "currency": "eur", "months": 1, "collection_paused": False, "pause_kind": "", "paid_until": None,
        "paused_at": None, "resumes_at": None, "cancel_at": None, "trial_end": None, "period_start": NOW - 20 * DAY,
        "period_end": NOW + 10 * DAY, "started_at": NOW - 50 * DAY, "ended_at": None, "invoice_id": "in_1",
        "invoice_status": "paid", "invoice_at": NOW - 20 * DAY, "refunded": False, "dispute": "", "disputed_at": None,
        **more,
    }  # fmt: skip
    return StoredSubscription(**values)


FOREVER = None
TABLE: list[tuple[dict[str, Any], EntitlementState, bool, datetime | None]] = [
    ({"status": "incomplete"}, EntitlementState.FREE, False, None),
    ({"status": "incomplete_expired"}, EntitlementState.FREE, False, None),
    ({"status": ""}, EntitlementState.FREE, False, None),
    ({"status": "trialing", "trial_end": NOW + DAY}, EntitlementState.TRIALING, True, FOREVER),
    ({"status": "trialing", "pause_kind": "kept"}, EntitlementState.PAYING, True, FOREVER),
    ({"status": "active"}, EntitlementState.PAYING, True, FOREVER),
    ({"status": "active", "cancel_at": NOW + 9 * DAY}, EntitlementState.ENDING, True, NOW + 9 * DAY),
    ({"status": "trialing", "cancel_at": NOW + 3 * DAY}, EntitlementState.ENDING, True, NOW + 3 * DAY),
    ({"status": "active", "cancel_at": NOW - DAY}, EntitlementState.ENDED, False, None),
    (
        {"status": "past_due", "invoice_status": "open", "invoice_at": NOW - DAY},
        EntitlementState.PAST_DUE, True, NOW + 13 * DAY,
    ),
    ({"status": "past_due", "invoice_status": "open", "invoice_at": NOW - 15 * DAY}, EntitlementState.ENDED, False, None),
    ({"status": "past_due", "invoice_at": None, "period_start": NOW}, EntitlementState.PAST_DUE, True, NOW + 14 * DAY),
    ({"status": "unpaid", "invoice_status": "open"}, EntitlementState.ENDED, False, None),
    ({"status": "canceled", "ended_at": NOW - 25 * DAY, "period_end": NOW - 25 * DAY}, EntitlementState.ENDED, False, None),
    ({"status": "canceled", "ended_at": NOW - DAY}, EntitlementState.ENDING, True, NOW + 10 * DAY),
    ({"status": "canceled", "ended_at": NOW - DAY, "refunded": True}, EntitlementState.ENDED, False, None),
    ({"status": "canceled", "ended_at": NOW - DAY, "invoice_status": "uncollectible"}, EntitlementState.ENDED, False, None),
    ({"status": "paused"}, EntitlementState.PAUSED, True, NOW + 10 * DAY),
    ({"collection_paused": True}, EntitlementState.PAUSED, True, NOW + 10 * DAY),
    ({"collection_paused": True, "invoice_status": "void"}, EntitlementState.PAUSED, False, None),
    (
        {"collection_paused": True, "pause_kind": "serve", "paid_until": NOW + 2 * DAY},
        EntitlementState.PAUSED, True, NOW + 2 * DAY,
    ),
    ({"collection_paused": True, "pause_kind": "serve", "paid_until": NOW - DAY}, EntitlementState.PAUSED, False, None),
    ({"collection_paused": True, "pause_kind": "keep", "paid_until": NOW + 2 * DAY}, EntitlementState.PAUSED, False, None),
    (
        {"status": "canceled", "ended_at": NOW, "pause_kind": "keep", "paused_at": NOW - 5 * DAY, "paid_until": NOW + 2 * DAY},
        EntitlementState.ENDING, True, NOW + 7 * DAY,
    ),
    (
        {"status": "canceled", "ended_at": NOW, "pause_kind": "kept", "trial_end": NOW + 5 * DAY, "invoice_status": "void"},
        EntitlementState.ENDING, True, NOW + 5 * DAY,
    ),
    (
        {"status": "canceled", "ended_at": NOW, "pause_kind": "kept", "trial_end": NOW - DAY, "invoice_status": "void"},
        EntitlementState.ENDED, False, None,
    ),
    ({"dispute": "open", "disputed_at": NOW - DAY}, EntitlementState.PAST_DUE, True, NOW + 13 * DAY),
    ({"dispute": "open", "disputed_at": NOW - 20 * DAY}, EntitlementState.ENDED, False, None),
    ({"dispute": "won", "disputed_at": NOW - 20 * DAY}, EntitlementState.PAYING, True, FOREVER),
    ({"dispute": "lost", "disputed_at": NOW - DAY}, EntitlementState.ENDED, False, None),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "state", "premium", "until"), TABLE)
def test_each_state_of_stripe_leads_to_one_of_ours(
    facts: dict[str, Any], state: EntitlementState, premium: bool, until: datetime | None
) -> None:
    assert decide_for_subscription(kept(**facts), GRACE).at(NOW) == Entitlement(state, premium, until)


def test_a_subscriber_with_nothing_is_free() -> None:
    assert decide_entitlement([], [], GRACE, NOW) == Entitlement(EntitlementState.FREE)


def test_a_subscriber_gets_the_best_of_what_they_hold() -> None:
    ended = kept(status="canceled", ended_at=NOW - 30 * DAY, period_end=NOW - 30 * DAY)
    grant = EntitlementGrant(1, "gift", NOW + 40 * DAY, "", NOW)
    assert decide_entitlement([ended], [grant], GRACE, NOW) == Entitlement(EntitlementState.COMPLIMENTARY, True, NOW + 40 * DAY)
    assert decide_entitlement([kept()], [grant], GRACE, NOW) == Entitlement(EntitlementState.PAYING, True, None)
    assert decide_entitlement([ended], [], GRACE, NOW).state is EntitlementState.ENDED


def test_a_gift_that_lasts_longer_than_a_subscription_that_ends_is_what_counts() -> None:
    ending = kept(cancel_at=NOW + 5 * DAY)
    grant = EntitlementGrant(1, "gift", NOW + 40 * DAY, "", NOW)
    assert decide_entitlement([ending], [grant], GRACE, NOW).until == NOW + 40 * DAY


def test_a_complimentary_subscriber_whose_time_is_over_has_ended() -> None:
    grant = EntitlementGrant(1, "complimentary", NOW - DAY, "", NOW - 9 * DAY)
    assert decide_entitlement([], [grant], GRACE, NOW) == Entitlement(EntitlementState.ENDED)


def test_time_alone_ends_access() -> None:
    before = Entitlement(EntitlementState.ENDING, True, NOW)
    assert before.at(NOW - timedelta(seconds=1)).is_active_at(NOW - timedelta(seconds=1))
    assert before.at(NOW) == Entitlement(EntitlementState.ENDED)
    assert Entitlement(EntitlementState.PAUSED, True, NOW).at(NOW) == Entitlement(EntitlementState.PAUSED)
