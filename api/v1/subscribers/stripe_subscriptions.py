"""``/v1/subscribers/{id_or_email}/stripe-subscriptions``: paid subscriptions, as last reported by Stripe."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from mailer.flows.billing import subscription_views
from mailer.payments.plans import INTERVALS
from mailer.store.billing.subscriptions import StoredSubscription

router = APIRouter(tags=["Subscribers"])


@router.get(
    "/subscribers/{id_or_email}/stripe-subscriptions",
    responses=schemas.response("StripeSubscriptionPage") | schemas.error_responses(404),
)
def get_stripe_subscriptions(context: Context, request: Request, id_or_email: str, page: paging.PageQuery) -> JSONResponse:
    """List a subscriber's Stripe subscriptions.

    Oldest first; empty if the newsletter has no paid plans.
    """
    found = subscription_views.list_by_subscriber(context.database, id_or_email)
    if found is None:
        raise_not_found("subscriber")
    shown = paging.cut_sorted(page, sorted(found, key=_get_place), _get_place)
    results = [as_subscription(one) for one in shown.rows]
    return paging.page_response(context, request, page, results, len(found), shown.after)


def _get_place(kept: StoredSubscription) -> list[float | str]:
    return [kept.started_at.timestamp() if kept.started_at else 0.0, kept.stripe_id]


def as_subscription(kept: StoredSubscription) -> dict[str, Any]:
    """A subscription in the contract's shape. ``amount`` is in minor units per interval."""
    began = kept.started_at or kept.period_start
    return {
        "subscription_id": kept.stripe_id,
        "url": f"https://dashboard.stripe.com/subscriptions/{kept.stripe_id}",
        "creation_date": began.isoformat() if began else "1970-01-01T00:00:00+00:00",
        "ending_date": kept.ended_at.isoformat() if kept.ended_at else None,
        "amount": kept.amount,
        "currency": kept.currency,
        "cadence": INTERVALS.get(kept.months, f"{kept.months} months"),
        "status": kept.status,
        "application_fee_percent": None,
        "source": None,
        "product": kept.plan or None,
    }
