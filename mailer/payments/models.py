"""What Stripe says, as plain facts. Money is in minor units (cents); moments are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PLAN = "postmerge_plan"  # metadata of a product, price and subscription: the plan's name in plans.toml
READER = "postmerge_reader"  # metadata of a subscription or session: the reader who was proven by a signed link
PAUSE = "postmerge_pause"  # metadata of a paused subscription: keep or serve
PAID_UNTIL = "postmerge_paid_until"  # metadata of a paused subscription: seconds since 1970
RESUMES = "postmerge_resumes"  # the same, for when it ends by itself
PAUSED_AT = "postmerge_paused_at"  # the same, for its beginning
RECIPIENT = "postmerge_recipient"  # of a gift: the address it is for
GIVER = "postmerge_giver"  # of a gift: how the giver wants to be called
MONTHS = "postmerge_months"  # of a gift: how long it lasts
LANG = "postmerge_lang"  # of a subscription or a gift: the language of the page on which it was begun
GIFT = "postmerge_gift"  # metadata of a session that pays for somebody else

_MONTHS = {"day": 0, "week": 0, "month": 1, "year": 12}


@dataclass(frozen=True)
class Subscription:
    """One subscription as Stripe had it at the moment of the fetch. ``plan`` is empty when it was not sold by us."""

    stripe_id: str
    customer_id: str
    plan: str
    status: str
    amount: int
    currency: str
    months: int
    reader: int
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


@dataclass(frozen=True)
class Charge:
    """A charge with what was given back of it and its dispute: empty, open, won or lost."""

    stripe_id: str
    subscription_id: str
    invoice_id: str
    amount: int
    refunded: int
    currency: str
    dispute: str
    disputed_at: datetime | None
    intent: str = ""

    @property
    def back(self) -> bool:
        """Is all of the money gone again?"""
        return self.dispute == "lost" or (self.amount > 0 and self.refunded >= self.amount)


@dataclass(frozen=True)
class Session:
    """A finished or open checkout. ``gift`` names the plan that was paid for somebody else."""

    stripe_id: str
    url: str
    paid: bool
    customer_id: str
    email: str
    subscription_id: str
    gift: str
    reader: int
    amount: int
    currency: str
    recipient: str = ""
    giver: str = ""
    months: int = 12
    lang: str = ""
    intent: str = ""


def moment(seconds: Any) -> datetime | None:
    """Stripe's seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None


def subscription(raw: Mapping[str, Any]) -> Subscription:
    """From Stripe's object with ``customer``, ``latest_invoice`` and ``discounts`` expanded."""
    items = raw["items"]["data"]
    price = items[0]["price"] if items else {}
    recurring = price.get("recurring") or {}
    meta = raw.get("metadata") or {}
    pause = raw.get("pause_collection")
    invoice = raw.get("latest_invoice") or {}
    customer = raw["customer"] if isinstance(raw["customer"], Mapping) else {"id": raw["customer"]}
    end = moment(items[0].get("current_period_end")) if items else None
    stops = moment(raw.get("cancel_at")) or (end if raw.get("cancel_at_period_end") else None)
    return Subscription(
        stripe_id=raw["id"],
        customer_id=customer["id"],
        plan=str((price.get("metadata") or {}).get(PLAN) or meta.get(PLAN) or ""),
        status=raw["status"],
        amount=_amount(raw, items),
        currency=raw.get("currency") or price.get("currency") or "",
        months=max(1, _MONTHS.get(recurring.get("interval", "month"), 1) * int(recurring.get("interval_count") or 1)),
        reader=_number(meta.get(READER)),
        email=str(customer.get("email") or ""),
        lang=str(meta.get(LANG) or "")[:2],
        collection_paused=bool(pause),
        pause_kind=str(meta.get(PAUSE) or ""),
        paid_until=moment(_number(meta.get(PAID_UNTIL))),
        paused_at=moment(_number(meta.get(PAUSED_AT))),
        resumes_at=moment((pause or {}).get("resumes_at") or _number(meta.get(RESUMES))),
        cancel_at=stops,
        trial_end=moment(raw.get("trial_end")),
        period_start=moment(items[0].get("current_period_start")) if items else None,
        period_end=end,
        started_at=moment(raw.get("start_date")),
        ended_at=moment(raw.get("ended_at")),
        invoice_id=str(invoice.get("id") or ""),
        invoice_status=str(invoice.get("status") or ""),
        invoice_at=moment(invoice.get("created")),
    )


def session(raw: Mapping[str, Any]) -> Session:
    """From Stripe's Checkout Session."""
    meta = raw.get("metadata") or {}
    details = raw.get("customer_details") or {}
    return Session(
        stripe_id=raw["id"],
        url=str(raw.get("url") or ""),
        paid=raw.get("status") == "complete" and raw.get("payment_status") in ("paid", "no_payment_required"),
        customer_id=str(raw.get("customer") or ""),
        email=str(details.get("email") or raw.get("customer_email") or ""),
        subscription_id=str(raw.get("subscription") or ""),
        gift=str(meta.get(GIFT) or ""),
        reader=_number(meta.get(READER)),
        amount=int(raw.get("amount_total") or 0),
        currency=str(raw.get("currency") or ""),
        recipient=str(meta.get(RECIPIENT) or ""),
        giver=str(meta.get(GIVER) or ""),
        months=_number(meta.get(MONTHS)) or 12,
        lang=str(meta.get(LANG) or "")[:2],
        intent=str(raw.get("payment_intent") or ""),
    )


def _amount(raw: Mapping[str, Any], items: list[Mapping[str, Any]]) -> int:
    """What an interval costs after coupons that last for ever; a coupon for a while is not counted off."""
    total = sum(int(item["price"].get("unit_amount") or 0) * int(item.get("quantity") or 1) for item in items)
    for discount in raw.get("discounts") or []:
        coupon = _coupon(discount)
        if coupon.get("duration") == "forever":
            total -= int(coupon.get("amount_off") or 0) + round(total * float(coupon.get("percent_off") or 0) / 100)
    return max(0, total)


def _coupon(discount: Any) -> Mapping[str, Any]:
    """A discount's coupon: it stands in ``source`` since 2025, in ``coupon`` before."""
    if not isinstance(discount, Mapping):
        return {}
    found = (discount.get("source") or {}).get("coupon") or discount.get("coupon") or {}
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> int:
    text = str(value or "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0
