"""Checkout: a page at Stripe for a plan, for oneself or as a gift. Nobody who is already paying is sent there."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from mailer.core import addresses, i18n, log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.flows.billing import paid_content
from mailer.flows.billing.billing_text import get_localizer, localized_error
from mailer.flows.billing.stripe_client import get_client
from mailer.flows.billing.stripe_setup import lookup_key
from mailer.payments import currencies, models
from mailer.payments.client import Stripe
from mailer.payments.plans import PaidPlan, Plans, load_plans
from mailer.store.billing import customers, subscriptions
from mailer.store.subscribers import subscribers
from mailer.store.subscribers.subscribers import Subscriber

logger = log.get("checkout")

_CHARGED = ("active", "trialing", "past_due", "paused")


@dataclass(frozen=True)
class CheckoutOrder:
    """A plan that somebody wants to buy.

    ``subscriber_id`` is 0 for an unknown visitor; ``recipient`` makes it a gift; ``form`` is the form's token, so that
    submitting it twice creates one checkout.
    """

    plan: str
    form: str
    amount: str = ""
    subscriber_id: int = 0
    recipient: str = ""
    giver: str = ""
    lang: str = ""


def load_plans_on_sale(settings: Settings) -> Plans | None:
    """Return the plans on sale; None without a key or without plans: then no page offers anything.

    Raises Unavailable if the plans cannot be read; the reason is in the log, for the operator.
    """
    try:
        return load_plans(settings.plans) if settings.stripe_key else None
    except BadInput as error:
        logger.error("plans.unreadable", error=str(error))
        raise localized_error(
            Unavailable, "We can’t show our plans right now. Nothing has changed. Please try again later."
        ) from error


def has_paid_issues(database: Database) -> bool:
    """Return whether an issue with paid text was sent: where nothing is on sale, it may have led a subscriber here."""
    return bool(paid_content.list_issues(database, "", limit=1))


def start_checkout(database: Database, settings: Settings, order: CheckoutOrder) -> str:
    """Return the URL of Stripe's page for an order. Raises BadInput or Refused with a text for the visitor, or Unavailable."""
    plans = load_plans_on_sale(settings)
    if plans is None:
        if has_paid_issues(database):
            raise localized_error(
                BadInput, "Paid subscriptions aren’t available right now. You can get the free issues by email."
            )
        raise localized_error(BadInput, "Every issue is free, so there’s nothing to pay for.")
    plan = next((one for one in plans.plans if one.name == order.plan), None)
    if plan is None:
        raise localized_error(BadInput, "This is no longer available. Please choose something else.")
    amount = _parse_amount(plans, plan, order.amount, order.lang)
    client = get_client(database, settings)
    facts = (
        _build_gift_params(settings, plans, plan, order)
        if order.recipient
        else _build_subscription_params(database, settings, plans, plan, order)
    )
    price: dict[str, Any] = {"price": _find_price(client, plans, plan)}
    if order.recipient or amount != plan.price:
        price = {"price_data": _build_price_data(client, plans, plan, amount, bool(order.recipient))}
    params = {
        "line_items": [{**price, "quantity": 1}],
        "success_url": f"{settings.api_url}/join/thanks",
        "cancel_url": f"{settings.api_url}/join",
        "allow_promotion_codes": plans.coupons,
        "automatic_tax": {"enabled": plans.tax},
        "locale": order.lang if order.lang in i18n.LANGUAGES else "auto",
        **facts,
    }
    key = hashlib.sha256(repr((order, amount)).encode()).hexdigest()
    return str(client.call("post", "/v1/checkout/sessions", params, idempotency_key=f"checkout-{key[:40]}")["url"])


def open_portal(database: Database, settings: Settings, subscriber_id: int, back: str) -> str:
    """Return the URL of Stripe's page for a subscriber's card and invoices. Raises BadInput if they have none."""
    with database.transaction() as tx:
        customer = customers.find_by_subscriber(tx, subscriber_id)
    if not customer:
        raise localized_error(BadInput, "We have no card on file for you.")
    client = get_client(database, settings)
    made = client.call(
        "post",
        "/v1/billing_portal/sessions",
        {"customer": customer, "return_url": back},
        idempotency_key=f"portal-{secrets.token_hex(16)}",
    )
    return str(made["url"])


def _build_subscription_params(
    database: Database, settings: Settings, plans: Plans, plan: PaidPlan, order: CheckoutOrder
) -> dict[str, Any]:
    marks = {models.PLAN: plan.name, models.LANG: order.lang}
    more: dict[str, Any] = {}
    trial = plan.trial_days
    if order.subscriber_id:
        with database.transaction() as tx:
            subscriber = subscribers.lock(tx, order.subscriber_id)
            held = subscriptions.list_by_subscriber(tx, order.subscriber_id)
            customer = customers.find_by_subscriber(tx, order.subscriber_id)
        if any(one.status in _CHARGED and not one.cancel_at for one in held):
            raise localized_error(
                Refused,
                "You already have a paid subscription, so we didn’t start another one. Your page shows how long"
                " it runs, and you can pause or cancel it there.",
            )
        if ends := next((one.cancel_at for one in held if one.status in _CHARGED and one.cancel_at), None):
            raise localized_error(
                Refused,
                "You’ve cancelled and have full access until %(date)s. To keep your subscription, use the"
                " button on your page. You won’t pay twice.",
                date=get_localizer(order.lang).day(ends),
            )
        marks[models.SUBSCRIBER] = str(order.subscriber_id)
        trial = 0 if held else trial
        more = {"customer": customer} if customer else _build_email_params(subscriber)
    data = {"metadata": marks, **({"trial_period_days": trial} if trial else {})}
    return {"mode": "subscription", "subscription_data": data, "metadata": marks, **more}


def _build_email_params(subscriber: Subscriber | None) -> dict[str, str]:
    return {"customer_email": subscriber.email} if subscriber else {}


def _build_gift_params(settings: Settings, plans: Plans, plan: PaidPlan, order: CheckoutOrder) -> dict[str, Any]:
    if not plan.gift:
        names = ", ".join(one.title for one in plans.plans if one.gift) or "none"
        raise localized_error(BadInput, "This plan can’t be given as a gift. Choose one of these: %(names)s.", names=names)
    try:
        recipient = addresses.check(order.recipient)
    except BadInput as error:
        error.field = "recipient"
        raise
    marks = {
        models.GIFT: plan.name,
        models.RECIPIENT: recipient,
        models.GIVER: " ".join(order.giver.split())[:80],
        models.MONTHS: str(plan.months),
        models.LANG: order.lang,
    }
    return {"mode": "payment", "metadata": marks, "customer_creation": "always"}


def _parse_amount(plans: Plans, plan: PaidPlan, text: str, lang: str) -> int:
    """Parse the amount that the subscriber wants to pay, in minor units."""
    if plan.floor is None or not text.strip():
        return plan.price
    amount = currencies.parse_amount(text, plans.currency)
    if amount is None:
        raise localized_error(
            BadInput, "%(typed)s isn’t an amount. Enter a number such as %(example)s.", "amount", typed=repr(text[:20]),
            example=get_localizer(lang).amount(plan.price, plans.currency),
        )  # fmt: skip
    if amount < plan.floor:
        raise localized_error(
            BadInput,
            "The minimum for this plan is %(least)s. Enter that amount or more.",
            "amount",
            least=currencies.format_money(plan.floor, plans.currency, get_localizer(lang).lang),
        )
    return amount


def _find_price(client: Stripe, plans: Plans, plan: PaidPlan) -> str:
    found = client.call("get", "/v1/prices", {"lookup_keys": [lookup_key(plan.name)], "active": True})["data"]
    if not found or found[0]["currency"] != plans.currency:
        logger.error("plans.not_at_stripe", plan=plan.name, fix="run `postmerge stripe setup`")
        raise localized_error(Refused, "%(plan)s isn’t available right now. Please try again later.", plan=plan.title)
    return str(found[0]["id"])


def _build_price_data(client: Stripe, plans: Plans, plan: PaidPlan, amount: int, once: bool) -> dict[str, Any]:
    """Build a price for an amount that the subscriber chose, or for a gift, which is paid once."""
    product = client.call("get", f"/v1/prices/{_find_price(client, plans, plan)}")["product"]
    recurring = {} if once else {"recurring": {"interval": {1: "month", 12: "year"}[plan.months]}}
    return {"currency": plans.currency, "product": product, "unit_amount": amount, "tax_behavior": "inclusive", **recurring}
