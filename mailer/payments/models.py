"""Stripe's objects as plain facts. Amounts are in minor units (cents); moments are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PLAN = "postmerge_plan"  # metadata of a product, price and subscription: the plan's name in plans.toml
SUBSCRIBER = "postmerge_reader"  # of a subscription or session: the subscriber proven by a signed link
PAUSE = "postmerge_pause"  # metadata of a paused subscription: keep or serve
PAID_UNTIL = "postmerge_paid_until"  # metadata of a paused subscription: seconds since 1970
RESUMES = "postmerge_resumes"  # the same, for the end of the pause
PAUSED_AT = "postmerge_paused_at"  # the same, for the start of the pause
RECIPIENT = "postmerge_recipient"  # of a gift: the address it is for
GIVER = "postmerge_giver"  # of a gift: the giver's name
MONTHS = "postmerge_months"  # of a gift: how long it lasts
LANG = "postmerge_lang"  # of a subscription or a gift: the language of the page where it was started
GIFT = "postmerge_gift"  # metadata of a session that pays for somebody else

RUNNING_STATUSES = ("active", "trialing", "past_due")  # of a subscription that Stripe renews
_MONTHS = {"day": 0, "week": 0, "month": 1, "year": 12}


@dataclass(frozen=True)
class Subscription:
    """A subscription in Stripe's state when fetched. ``plan`` is empty if it was not sold by us.

    ``invoice_paid`` is what was paid of the latest invoice: nothing during a trial, or with a coupon for the whole amount.
    """

    stripe_id: str
    customer_id: str
    plan: str
    status: str
    amount: int
    currency: str
    months: int
    subscriber_id: int
    email: str
    lang: str = ""
    collection_paused: bool = False
    pause_kind: str = ""
    paid_until: datetime | None = None
    paused_at: datetime | None = None
    resumes_at: datetime | None = None
    cancel_at: datetime | None = None
    trial_end: datetime | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    invoice_id: str = ""
    invoice_status: str = ""
    invoice_at: datetime | None = None
    invoice_paid: int = 0
    price_id: str = ""


@dataclass(frozen=True)
class Charge:
    """A charge with its refunds and its dispute: empty, open, won or lost. ``is_inquiry``: a bank asks, and no money moved."""

    stripe_id: str
    subscription_id: str
    invoice_id: str
    amount: int
    refunded: int
    currency: str
    dispute: str
    disputed_at: datetime | None
    intent: str = ""
    is_inquiry: bool = False

    @property
    def is_returned(self) -> bool:
        """Return whether the whole amount was refunded or lost."""
        return self.dispute == "lost" or (self.amount > 0 and self.refunded >= self.amount)


@dataclass(frozen=True)
class CheckoutSession:
    """A finished or open checkout. ``gift`` names the plan that was paid for somebody else."""

    stripe_id: str
    url: str
    paid: bool
    customer_id: str
    email: str
    subscription_id: str
    gift: str
    subscriber_id: int
    amount: int
    currency: str
    recipient: str = ""
    giver: str = ""
    months: int = 12
    lang: str = ""
    intent: str = ""


def parse_timestamp(seconds: Any) -> datetime | None:
    """Convert Stripe's seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None


def parse_subscription(raw: Mapping[str, Any]) -> Subscription:
    """Parse Stripe's object with ``customer``, ``latest_invoice`` and ``discounts`` expanded."""
    items = raw["items"]["data"]
    price = items[0]["price"] if items else {}
    recurring = price.get("recurring") or {}
    meta = raw.get("metadata") or {}
    pause = raw.get("pause_collection")
    invoice = raw.get("latest_invoice") or {}
    customer = raw["customer"] if isinstance(raw["customer"], Mapping) else {"id": raw["customer"]}
    end = parse_timestamp(items[0].get("current_period_end")) if items else None
    stops = parse_timestamp(raw.get("cancel_at")) or (end if raw.get("cancel_at_period_end") else None)
    return Subscription(
        stripe_id=raw["id"],
        customer_id=customer["id"],
        plan=str((price.get("metadata") or {}).get(PLAN) or meta.get(PLAN) or ""),
        status=raw["status"],
        amount=_compute_amount(raw, items),
        currency=raw.get("currency") or price.get("currency") or "",
        months=max(1, _MONTHS.get(recurring.get("interval", "month"), 1) * int(recurring.get("interval_count") or 1)),
        subscriber_id=_parse_number(meta.get(SUBSCRIBER)),
        email=str(customer.get("email") or ""),
        lang=str(meta.get(LANG) or "")[:2],
        collection_paused=bool(pause),
        pause_kind=str(meta.get(PAUSE) or ""),
        paid_until=parse_timestamp(_parse_number(meta.get(PAID_UNTIL))),
        paused_at=parse_timestamp(_parse_number(meta.get(PAUSED_AT))),
        resumes_at=parse_timestamp((pause or {}).get("resumes_at") or _parse_number(meta.get(RESUMES))),
        cancel_at=stops,
        trial_end=parse_timestamp(raw.get("trial_end")),
        period_start=parse_timestamp(items[0].get("current_period_start")) if items else None,
        period_end=end,
        started_at=parse_timestamp(raw.get("start_date")),
        ended_at=parse_timestamp(raw.get("ended_at")),
        invoice_id=str(invoice.get("id") or ""),
        invoice_status=str(invoice.get("status") or ""),
        invoice_at=parse_timestamp(invoice.get("created")),
        invoice_paid=int(invoice.get("amount_paid") or 0),
        price_id=str(price.get("id") or ""),
    )


def parse_session(raw: Mapping[str, Any]) -> CheckoutSession:
    """Parse Stripe's Checkout Session."""
    meta = raw.get("metadata") or {}
    details = raw.get("customer_details") or {}
    return CheckoutSession(
        stripe_id=raw["id"],
        url=str(raw.get("url") or ""),
        paid=raw.get("status") == "complete" and raw.get("payment_status") in ("paid", "no_payment_required"),
        customer_id=str(raw.get("customer") or ""),
        email=str(details.get("email") or raw.get("customer_email") or ""),
        subscription_id=str(raw.get("subscription") or ""),
        gift=str(meta.get(GIFT) or ""),
        subscriber_id=_parse_number(meta.get(SUBSCRIBER)),
        amount=int(raw.get("amount_total") or 0),
        currency=str(raw.get("currency") or ""),
        recipient=str(meta.get(RECIPIENT) or ""),
        giver=str(meta.get(GIVER) or ""),
        months=_parse_number(meta.get(MONTHS)) or 12,
        lang=str(meta.get(LANG) or "")[:2],
        intent=str(raw.get("payment_intent") or ""),
    )


def _compute_amount(raw: Mapping[str, Any], items: list[Mapping[str, Any]]) -> int:
    """Return the price of an interval after permanent coupons; temporary ones are ignored."""
    total = sum(int(item["price"].get("unit_amount") or 0) * int(item.get("quantity") or 1) for item in items)
    for discount in raw.get("discounts") or []:
        coupon = _get_coupon(discount)
        if coupon.get("duration") == "forever":
            total -= int(coupon.get("amount_off") or 0) + round(total * float(coupon.get("percent_off") or 0) / 100)
    return max(0, total)


def _get_coupon(discount: Any) -> Mapping[str, Any]:
    """Return a discount's coupon: under ``source`` since 2025, under ``coupon`` before."""
    if not isinstance(discount, Mapping):
        return {}
    found = (discount.get("source") or {}).get("coupon") or discount.get("coupon") or {}
    return found if isinstance(found, Mapping) else {}


def _parse_number(value: Any) -> int:
    text = str(value or "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0
