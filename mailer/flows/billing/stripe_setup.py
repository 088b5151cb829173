"""Set up Stripe from ``plans.toml``: products, prices, the portal and the webhook.

Shows what it would do; a second run changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows.billing.stripe_client import get_unbound_client
from mailer.payments.client import Stripe
from mailer.payments.currencies import format_money
from mailer.payments.models import PLAN
from mailer.payments.plans import INTERVALS, PaidPlan, Plans, load_plans
from mailer.store.billing import stripe_events, subscriptions

EVENTS = (
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
    "checkout.session.expired", "customer.created", "customer.updated", "customer.deleted", "customer.subscription.created",
    "customer.subscription.updated", "customer.subscription.deleted", "customer.subscription.paused",
    "customer.subscription.resumed", "customer.subscription.trial_will_end", "invoice.paid", "invoice.payment_failed",
    "invoice.payment_action_required", "invoice.finalized", "invoice.voided", "invoice.marked_uncollectible",
    "charge.refunded", "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
)  # fmt: skip
_OWN_NAME = "postmerge"  # metadata of the webhook and the portal settings that we made


@dataclass(frozen=True)
class SetupChange:
    """One object at Stripe. ``action`` is make, change, retire, keep or note; ``do`` carries it out and may return a
    message.
    """

    action: str
    what: str
    detail: str
    do: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class SetupPlan:
    """What the setup would do, in which account and mode."""

    account: str
    live: bool
    changes: tuple[SetupChange, ...]

    @property
    def open(self) -> list[SetupChange]:
        """The changes that are still to be made."""
        return [change for change in self.changes if change.action in ("make", "change", "retire")]


def plan_setup(database: Database, settings: Settings) -> SetupPlan:
    """Compare ``plans.toml`` with Stripe without changing anything.

    Raises BadInput without key or plans, Refused if modes are mixed.
    """
    plans = load_plans(settings.plans)
    if plans is None:
        raise BadInput(f"There is no {settings.plans}: write what you sell there; docs/how-to/paid.md shows one to copy.")
    client = get_unbound_client(settings)
    account = client.get_account_id()
    _check_same_account(database, client, account)
    changes = [change for plan in plans.plans for change in _plan_product_and_price(client, plans, plan)]
    changes += _plan_retirements(client, plans)
    changes += [_plan_portal(client), _plan_webhook(client, settings)]
    changes += _note_currencies(database, plans)
    return SetupPlan(account, client.live, tuple(changes))


def apply_setup(database: Database, settings: Settings, found: SetupPlan) -> list[str]:
    """Carry out the open changes in order; return messages for the operator (the webhook's secret)."""
    with database.transaction() as tx:
        stripe_events.bind_account(tx, found.account, found.live)
    return [said for change in found.open if (said := change.do())]


def _check_same_account(database: Database, client: Stripe, account: str) -> None:
    with database.transaction() as tx:
        bound = stripe_events.get_account(tx)
    if bound and (bound.account_id, bound.livemode) != (account, client.live):
        mode = "live" if bound.livemode else "test"
        raise Refused(
            f"This database belongs to the Stripe account {bound.account_id} in {mode} mode, and STRIPE_SECRET_KEY to another:"
            " use the key of that account and mode, or another database."
        )


def _plan_product_and_price(client: Stripe, plans: Plans, plan: PaidPlan) -> list[SetupChange]:
    product = _find_own(client, "/v1/products", plan.name)
    wanted = {"name": plan.title, "metadata": {PLAN: plan.name}, **({"description": plan.about} if plan.about else {})}
    first = _plan_object(client, "/v1/products", f"product {plan.name}", product, wanted)
    price = {
        "currency": plans.currency,
        "unit_amount": plan.price,
        "recurring": {"interval": INTERVALS[plan.months]},
        "lookup_key": lookup_key(plan.name),
        "tax_behavior": "inclusive",
        "metadata": {PLAN: plan.name},
    }
    return [first, _plan_price(client, plans, plan, price)]


def _plan_price(client: Stripe, plans: Plans, plan: PaidPlan, wanted: Mapping[str, Any]) -> SetupChange:
    """Plan a price. Stripe's prices are immutable: a new amount is a new price, and the old one gets no new customers."""
    known = [one for one in client.iterate("/v1/prices", {}) if one["metadata"].get(PLAN) == plan.name]
    same = [one for one in known if _is_up_to_date({k: v for k, v in wanted.items() if k != "lookup_key"}, one)]
    sold = next((one for one in same if one["active"] and one.get("lookup_key") == wanted["lookup_key"]), None)
    detail = f"{format_money(plan.price, plans.currency)} every {INTERVALS[plan.months]}"
    others = [one["id"] for one in known if one["active"] and (sold is None or one["id"] != sold["id"])]
    if sold and not others:
        return SetupChange("keep", f"price {plan.name}", detail)

    def do() -> str:
        if sold is None and same:
            again = {"active": True, "lookup_key": wanted["lookup_key"], "transfer_lookup_key": True}
            client.call(
                "post",
                f"/v1/prices/{same[0]['id']}",
                again,
                idempotency_key=_build_idempotency_key("reopen", same[0]["id"], len(known)),
            )
        elif sold is None:
            product = _find_own(client, "/v1/products", plan.name)
            values = {**wanted, "product": product["id"] if product else "", "transfer_lookup_key": True}
            client.call("post", "/v1/prices", values, idempotency_key=_build_idempotency_key("price", values))
        for old in others:
            if not same or old != same[0]["id"]:
                client.call(
                    "post",
                    f"/v1/prices/{old}",
                    {"active": False},
                    idempotency_key=_build_idempotency_key("retire", old, len(known)),
                )
        return ""

    return SetupChange("change" if others else "make", f"price {plan.name}", detail, do)


def _plan_retirements(client: Stripe, plans: Plans) -> list[SetupChange]:
    """Plan to retire plans missing from the file: nobody can buy them any more, current customers keep them."""
    names = {plan.name for plan in plans.plans}
    gone = [
        (path, one)
        for path in ("/v1/prices", "/v1/products")
        for one in client.iterate(path, {})
        if one.get("active") and one["metadata"].get(PLAN) and one["metadata"][PLAN] not in names
    ]

    def close(path: str, one: Mapping[str, Any]) -> SetupChange:
        def do() -> str:
            client.call(
                "post", f"{path}/{one['id']}", {"active": False}, idempotency_key=_build_idempotency_key("close", one["id"])
            )
            return ""

        return SetupChange(
            "retire", f"{one['object']} {one['metadata'][PLAN]}", "gone from the file; current subscribers keep it", do
        )

    return [close(path, one) for path, one in gone]


def _plan_portal(client: Stripe) -> SetupChange:
    features = {
        "payment_method_update": {"enabled": True},
        "invoice_history": {"enabled": True},
        "customer_update": {"enabled": True, "allowed_updates": ["address", "tax_id"]},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": {"enabled": False},
    }
    wanted = {"features": features, "metadata": {PLAN: _OWN_NAME}}
    return _plan_object(client, "/v1/billing_portal/configurations", "portal", _find_portal(client), wanted)


def _find_portal(client: Stripe) -> dict[str, Any] | None:
    return _find_own(client, "/v1/billing_portal/configurations", _OWN_NAME)


def _plan_webhook(client: Stripe, settings: Settings) -> SetupChange:
    url = f"{settings.api_url}/webhooks/stripe"
    if not url.startswith("https://"):
        how = (
            f"Stripe calls only https URLs: run `stripe listen --forward-to {url}` and set STRIPE_WEBHOOK_SECRET to its output"
        )
        return SetupChange("note", "webhook", how)
    known = next((one for one in client.iterate("/v1/webhook_endpoints", {}) if one["url"] == url), None)
    wanted = {"url": url, "enabled_events": sorted(EVENTS), "metadata": {PLAN: _OWN_NAME}}
    return _plan_object(client, "/v1/webhook_endpoints", "webhook", known, wanted)


def _note_currencies(database: Database, plans: Plans) -> list[SetupChange]:
    with database.transaction() as tx:
        others = {
            one.currency for one in subscriptions.list_all(tx) if one.status == "active" and one.currency != plans.currency
        }
    return [
        SetupChange(
            "note",
            "currency",
            f"some pay in {one.upper()} and keep it; new ones pay in {plans.currency.upper()}",
        )
        for one in sorted(others)
    ]


def _plan_object(
    client: Stripe, path: str, what: str, known: Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> SetupChange:
    if known is None:

        def make() -> str:
            made = client.call("post", path, wanted, idempotency_key=_build_idempotency_key(path, wanted))
            return f"STRIPE_WEBHOOK_SECRET={made['secret']}" if made.get("secret") else ""

        return SetupChange("make", what, "", make)
    wanted = {**wanted, **({"active": True} if "active" in known else {})}
    if _is_up_to_date(wanted, known):
        return SetupChange("keep", what, "")

    def change() -> str:
        client.call(
            "post", f"{path}/{known['id']}", wanted, idempotency_key=_build_idempotency_key(path, known["id"], wanted, known)
        )
        return ""

    return SetupChange("change", what, "", change)


def _find_own(client: Stripe, path: str, name: str) -> dict[str, Any] | None:
    found = [one for one in client.iterate(path, {}) if one["metadata"].get(PLAN) == name]
    return next((one for one in found if one.get("active", True)), found[0] if found else None)


def _is_up_to_date(wanted: Any, known: Any) -> bool:
    """Return whether the existing object has all the wanted values."""
    if isinstance(wanted, Mapping):
        return isinstance(known, Mapping) and all(_is_up_to_date(value, known.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(known, list) and sorted(map(str, wanted)) == sorted(map(str, known))
    return bool(wanted == known)


def lookup_key(plan: str) -> str:
    """Return the key by which a plan's price is found at Stripe."""
    return f"postmerge_{plan}"


def _build_idempotency_key(*parts: Any) -> str:
    return "setup-" + hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:40]
