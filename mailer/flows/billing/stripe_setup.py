"""Setting Stripe up from ``plans.toml``: products, prices, the portal and the webhook. Shows what it would do; doing it twice
changes nothing the second time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.billing.stripe_client import open_line
from mailer.payments.client import Stripe
from mailer.payments.models import PLAN
from mailer.payments.plans import Plan, Plans, load, money
from mailer.store.billing import stripe_events, subscriptions

EVENTS = (
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
    "checkout.session.expired", "customer.created", "customer.updated", "customer.deleted", "customer.subscription.created",
    "customer.subscription.updated", "customer.subscription.deleted", "customer.subscription.paused",
    "customer.subscription.resumed", "customer.subscription.trial_will_end", "invoice.paid", "invoice.payment_failed",
    "invoice.payment_action_required", "invoice.finalized", "invoice.voided", "invoice.marked_uncollectible",
    "charge.refunded", "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
)  # fmt: skip
_OURS = "postmerge"  # metadata of the webhook and the portal settings that we made
_INTERVAL = {1: "month", 12: "year"}


@dataclass(frozen=True)
class Change:
    """One thing at Stripe. ``action`` is make, change, retire, keep or note; ``do`` carries it out and may say something."""

    action: str
    what: str
    detail: str
    do: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class SetUp:
    """What setting up would do, in which account and mode."""

    account: str
    live: bool
    changes: tuple[Change, ...]

    @property
    def open(self) -> list[Change]:
        """What is not yet as it shall be."""
        return [change for change in self.changes if change.action in ("make", "change", "retire")]


def look(database: Database, settings: Settings) -> SetUp:
    """Compare ``plans.toml`` with Stripe; changes nothing. Raises BadInput without key or plans, Refused on a mix of modes."""
    plans = load(settings.plans)
    if plans is None:
        raise BadInput(f"There is no {settings.plans}: write what you sell there; docs/how-to/paid.md shows one to copy.")
    client = open_line(settings)
    account = client.account()
    _same_account(database, client, account)
    changes = [change for plan in plans.plans for change in _plan(client, plans, plan)]
    changes += _retired(client, plans)
    changes += [_portal(client), _webhook(client, settings)]
    changes += _currencies(database, plans)
    return SetUp(account, client.live, tuple(changes))


def apply(database: Database, settings: Settings, found: SetUp) -> list[str]:
    """Carry the open changes out, in order; what the person must know (the webhook's secret)."""
    with database.transaction() as tx:
        stripe_events.bind(tx, found.account, found.live)
    return [said for change in found.open if (said := change.do())]


def _same_account(database: Database, client: Stripe, account: str) -> None:
    with database.transaction() as tx:
        bound = stripe_events.account(tx)
    if bound and (bound.account_id, bound.livemode) != (account, client.live):
        mode = "live" if bound.livemode else "test"
        raise Refused(
            f"This database belongs to the Stripe account {bound.account_id} in {mode} mode, and STRIPE_SECRET_KEY to another:"
            " use the key of that account and mode, or another database."
        )


def _plan(client: Stripe, plans: Plans, plan: Plan) -> list[Change]:
    product = _mine(client, "/v1/products", plan.name)
    wanted = {"name": plan.title, "metadata": {PLAN: plan.name}, **({"description": plan.about} if plan.about else {})}
    first = _thing(client, "/v1/products", f"product {plan.name}", product, wanted)
    price = {
        "currency": plans.currency,
        "unit_amount": plan.price,
        "recurring": {"interval": _INTERVAL[plan.months]},
        "lookup_key": lookup_key(plan.name),
        "tax_behavior": "inclusive",
        "metadata": {PLAN: plan.name},
    }
    return [first, _price(client, plans, plan, price)]


def _price(client: Stripe, plans: Plans, plan: Plan, wanted: Mapping[str, Any]) -> Change:
    """Prices never change at Stripe: another amount is another price, and the old one takes no new readers."""
    known = [one for one in client.each("/v1/prices", {}) if one["metadata"].get(PLAN) == plan.name]
    same = [one for one in known if _covers({k: v for k, v in wanted.items() if k != "lookup_key"}, one)]
    sold = next((one for one in same if one["active"] and one.get("lookup_key") == wanted["lookup_key"]), None)
    detail = f"{money(plan.price, plans.currency)} every {_INTERVAL[plan.months]}"
    others = [one["id"] for one in known if one["active"] and (sold is None or one["id"] != sold["id"])]
    if sold and not others:
        return Change("keep", f"price {plan.name}", detail)

    def do() -> str:
        if sold is None and same:
            again = {"active": True, "lookup_key": wanted["lookup_key"], "transfer_lookup_key": True}
            client.call("post", f"/v1/prices/{same[0]['id']}", again, once=_key("reopen", same[0]["id"], len(known)))
        elif sold is None:
            product = _mine(client, "/v1/products", plan.name)
            values = {**wanted, "product": product["id"] if product else "", "transfer_lookup_key": True}
            client.call("post", "/v1/prices", values, once=_key("price", values))
        for old in others:
            if not same or old != same[0]["id"]:
                client.call("post", f"/v1/prices/{old}", {"active": False}, once=_key("retire", old, len(known)))
        return ""

    return Change("change" if others else "make", f"price {plan.name}", detail, do)


def _retired(client: Stripe, plans: Plans) -> list[Change]:
    """Plans that are gone from the file: nobody new can buy them, who has them keeps them."""
    names = {plan.name for plan in plans.plans}
    gone = [
        (path, one)
        for path in ("/v1/prices", "/v1/products")
        for one in client.each(path, {})
        if one.get("active") and one["metadata"].get(PLAN) and one["metadata"][PLAN] not in names
    ]

    def close(path: str, one: Mapping[str, Any]) -> Change:
        def do() -> str:
            client.call("post", f"{path}/{one['id']}", {"active": False}, once=_key("close", one["id"]))
            return ""

        return Change("retire", f"{one['object']} {one['metadata'][PLAN]}", "gone from the file; its readers keep it", do)

    return [close(path, one) for path, one in gone]


def _portal(client: Stripe) -> Change:
    features = {
        "payment_method_update": {"enabled": True},
        "invoice_history": {"enabled": True},
        "customer_update": {"enabled": True, "allowed_updates": ["address", "tax_id"]},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": {"enabled": False},
    }
    wanted = {"features": features, "metadata": {PLAN: _OURS}}
    return _thing(client, "/v1/billing_portal/configurations", "portal", _portal_settings(client), wanted)


def _portal_settings(client: Stripe) -> dict[str, Any] | None:
    return _mine(client, "/v1/billing_portal/configurations", _OURS)


def _webhook(client: Stripe, settings: Settings) -> Change:
    url = f"{settings.api_url}/webhooks/stripe"
    if not url.startswith("https://"):
        how = (
            f"Stripe reaches only https: run `stripe listen --forward-to {url}` and set STRIPE_WEBHOOK_SECRET to what it prints"
        )
        return Change("note", "webhook", how)
    known = next((one for one in client.each("/v1/webhook_endpoints", {}) if one["url"] == url), None)
    wanted = {"url": url, "enabled_events": sorted(EVENTS), "metadata": {PLAN: _OURS}}
    return _thing(client, "/v1/webhook_endpoints", "webhook", known, wanted)


def _currencies(database: Database, plans: Plans) -> list[Change]:
    with database.transaction() as tx:
        others = {one.currency for one in subscriptions.every(tx) if one.status == "active" and one.currency != plans.currency}
    return [
        Change("note", "currency", f"readers pay in {one.upper()} too: they keep it, new ones pay in {plans.currency.upper()}")
        for one in sorted(others)
    ]


def _thing(client: Stripe, path: str, what: str, known: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> Change:
    if known is None:

        def make() -> str:
            made = client.call("post", path, wanted, once=_key(path, wanted))
            return f"STRIPE_WEBHOOK_SECRET={made['secret']}" if made.get("secret") else ""

        return Change("make", what, "", make)
    wanted = {**wanted, **({"active": True} if "active" in known else {})}
    if _covers(wanted, known):
        return Change("keep", what, "")

    def change() -> str:
        client.call("post", f"{path}/{known['id']}", wanted, once=_key(path, known["id"], wanted, known))
        return ""

    return Change("change", what, "", change)


def _mine(client: Stripe, path: str, name: str) -> dict[str, Any] | None:
    found = [one for one in client.each(path, {}) if one["metadata"].get(PLAN) == name]
    return next((one for one in found if one.get("active", True)), found[0] if found else None)


def _covers(wanted: Any, known: Any) -> bool:
    """Does the known thing say all that is wanted?"""
    if isinstance(wanted, Mapping):
        return isinstance(known, Mapping) and all(_covers(value, known.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(known, list) and sorted(map(str, wanted)) == sorted(map(str, known))
    return bool(wanted == known)


def lookup_key(plan: str) -> str:
    """How a plan's price is found at Stripe."""
    return f"postmerge_{plan}"


def _key(*parts: Any) -> str:
    return "setup-" + hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:40]
