"""Paying: a page of Stripe's for a plan, for oneself or as a gift. Nobody who pays already is sent there."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from mailer.core import addresses, log
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.flows.billing.billing_text import told, voice
from mailer.flows.billing.stripe_client import line
from mailer.flows.billing.stripe_setup import lookup_key
from mailer.payments import models
from mailer.payments.client import Stripe
from mailer.payments.plans import Plan, Plans, load, money, units
from mailer.store.billing import customers, subscriptions
from mailer.store.subscribers import subscribers
from mailer.store.subscribers.subscribers import Subscriber

events = log.get("checkout")

_CHARGED = ("active", "trialing", "past_due", "paused")


@dataclass(frozen=True)
class Order:
    """What somebody wants to pay for. ``reader`` 0: nobody we know yet; ``recipient`` makes it a gift; ``form`` is the form's
    token: sending one form twice makes one checkout."""

    plan: str
    form: str
    amount: str = ""
    reader: int = 0
    recipient: str = ""
    giver: str = ""
    lang: str = ""


def on_sale(settings: Settings) -> Plans | None:
    """What can be bought; None without a key or without plans: then no page offers anything.

    Raises Unavailable when the plans cannot be read: what is wrong with them is the writer's matter, and stands in the log.
    """
    try:
        return load(settings.plans) if settings.stripe_key else None
    except BadInput as error:
        events.error("plans.unreadable", error=str(error))
        raise told(
            Unavailable, "What is sold here cannot be read just now, and nothing was changed: please try again later."
        ) from error


def begin(database: Database, settings: Settings, order: Order) -> str:
    """The address of Stripe's page for an order. Raises BadInput or Refused with a sentence for the person, or Unavailable."""
    plans = on_sale(settings)
    if plans is None:
        raise told(BadInput, "Nothing is sold here: every issue is free.")
    plan = next((one for one in plans.plans if one.name == order.plan), None)
    if plan is None:
        raise told(BadInput, "This is not sold any more: choose something else.")
    amount = _amount(plans, plan, order.amount)
    client = line(database, settings)
    facts = _gift(settings, plans, plan, order) if order.recipient else _own(database, settings, plans, plan, order)
    price: dict[str, Any] = {"price": _price(client, plans, plan)}
    if order.recipient or amount != plan.price:
        price = {"price_data": _price_data(client, plans, plan, amount, bool(order.recipient))}
    params = {
        "line_items": [{**price, "quantity": 1}],
        "success_url": f"{settings.api_url}/join/thanks",
        "cancel_url": f"{settings.api_url}/join",
        "allow_promotion_codes": plans.coupons,
        "automatic_tax": {"enabled": plans.tax},
        "locale": order.lang or "auto",
        **facts,
    }
    key = hashlib.sha256(repr((order, amount)).encode()).hexdigest()
    return str(client.call("post", "/v1/checkout/sessions", params, once=f"checkout-{key[:40]}")["url"])


def portal(database: Database, settings: Settings, subscriber_id: int, back: str) -> str:
    """The address of Stripe's page for a reader's card and invoices. Raises BadInput when they have none."""
    with database.transaction() as tx:
        customer = customers.of_reader(tx, subscriber_id)
    if not customer:
        raise told(BadInput, "There is no card of yours at Stripe: you have not paid there.")
    client = line(database, settings)
    made = client.call(
        "post",
        "/v1/billing_portal/sessions",
        {"customer": customer, "return_url": back},
        once=f"portal-{secrets.token_hex(16)}",
    )
    return str(made["url"])


def _own(database: Database, settings: Settings, plans: Plans, plan: Plan, order: Order) -> dict[str, Any]:
    marks = {models.PLAN: plan.name, models.LANG: order.lang}
    more: dict[str, Any] = {}
    trial = plan.trial_days
    if order.reader:
        with database.transaction() as tx:
            reader = subscribers.lock(tx, order.reader)
            held = subscriptions.of_reader(tx, order.reader)
            customer = customers.of_reader(tx, order.reader)
        if any(one.status in _CHARGED and not one.cancel_at for one in held):
            raise told(
                Refused, "You pay already, so nothing was begun: your page shows until when, and lets you pause or leave."
            )
        if ending := next((one for one in held if one.status in _CHARGED and one.cancel_at), None):
            raise told(
                Refused,
                "You have left and read everything until %(date)s: the button on your own page lets you stay, and nothing is"
                " paid twice.",
                date=voice(order.lang).day(ending.cancel_at),
            )
        marks[models.READER] = str(order.reader)
        trial = 0 if held else trial
        more = {"customer": customer} if customer else _mail_of(reader)
    data = {"metadata": marks, **({"trial_period_days": trial} if trial else {})}
    return {"mode": "subscription", "subscription_data": data, "metadata": marks, **more}


def _mail_of(reader: Subscriber | None) -> dict[str, str]:
    return {"customer_email": reader.email} if reader else {}


def _gift(settings: Settings, plans: Plans, plan: Plan, order: Order) -> dict[str, Any]:
    if not plan.gift:
        names = ", ".join(one.title for one in plans.plans if one.gift) or "none"
        raise told(BadInput, "This plan cannot be given: choose one that can (%(names)s).", names=names)
    marks = {
        models.GIFT: plan.name,
        models.RECIPIENT: addresses.check(order.recipient),
        models.GIVER: " ".join(order.giver.split())[:80],
        models.MONTHS: str(plan.months),
        models.LANG: order.lang,
    }
    return {"mode": "payment", "metadata": marks, "customer_creation": "always"}


def _amount(plans: Plans, plan: Plan, text: str) -> int:
    """What the reader wants to pay, in minor units."""
    if plan.floor is None or not text.strip():
        return plan.price
    digits = text.strip().replace(",", ".")
    try:
        amount = round(float(digits) * float(100 / units(100, plans.currency)))
    except (ValueError, OverflowError) as error:
        raise told(
            BadInput, "%(typed)s is not an amount: write a number such as %(example)s.", typed=repr(text[:20]),
            example=units(plan.price, plans.currency),
        ) from error  # fmt: skip
    if not plan.floor <= amount < 100_000_000:
        raise told(
            BadInput, "The least for this plan is %(least)s: write that or more.", least=money(plan.floor, plans.currency)
        )
    return amount


def _price(client: Stripe, plans: Plans, plan: Plan) -> str:
    found = client.call("get", "/v1/prices", {"lookup_keys": [lookup_key(plan.name)], "active": True})["data"]
    if not found:
        raise told(
            Refused, "%(plan)s cannot be bought just now: the writer has to run `postmerge stripe setup`.", plan=plan.title
        )
    if found[0]["currency"] != plans.currency:
        raise told(
            Refused, "%(plan)s has another currency at Stripe: the writer has to run `postmerge stripe setup`.", plan=plan.title
        )
    return str(found[0]["id"])


def _price_data(client: Stripe, plans: Plans, plan: Plan, amount: int, once: bool) -> dict[str, Any]:
    """A price of its own, for an amount that the reader chose, or for a gift, which is paid once."""
    product = client.call("get", f"/v1/prices/{_price(client, plans, plan)}")["product"]
    recurring = {} if once else {"recurring": {"interval": {1: "month", 12: "year"}[plan.months]}}
    return {"currency": plans.currency, "product": product, "unit_amount": amount, "tax_behavior": "inclusive", **recurring}
