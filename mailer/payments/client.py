"""The line to Stripe. Every call that makes something carries an idempotency key, so that trying again makes nothing twice.

``Gone`` when Stripe does not know the object, ``Refused`` for a wrong key, ``BadInput`` for what Stripe will not take,
``Unavailable`` when it does not answer, answers too late or breaks: the same call may then be made again with the same key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import stripe

from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.payments import models
from mailer.payments.models import Charge, Session, Subscription

TIMEOUT = 20  # seconds for one answer
_EXPAND = ["customer", "latest_invoice", "discounts.source.coupon"]


class Gone(BadInput):
    """Stripe does not know this object (any more)."""


def is_live(key: str) -> bool:
    """Is this a key for real money? Raises BadInput when it is no secret key at all."""
    if not key.startswith(("sk_test_", "rk_test_", "sk_live_", "rk_live_")):
        raise BadInput(
            "STRIPE_SECRET_KEY does not look like a secret key: it begins with sk_test_, sk_live_, rk_test_ or rk_live_."
        )
    return key.startswith(("sk_live_", "rk_live_"))


class Stripe:
    """One account's client. Safe to share between threads. ``base`` is another address than Stripe's own, for rehearsals."""

    def __init__(self, key: str, base: str = "", timeout: float = TIMEOUT) -> None:
        self.live = is_live(key)
        where: Any = {"base_addresses": {"api": base}} if base else {}
        http = stripe.RequestsClient(timeout=timeout)
        self._client = stripe.StripeClient(key, http_client=http, max_network_retries=2, **where)

    def call(self, method: str, path: str, params: Mapping[str, Any] | None = None, once: str = "") -> dict[str, Any]:
        """One call by its path, as in Stripe's reference; ``once`` is the idempotency key of what it makes."""
        options: Any = {"idempotency_key": once} if once else {}
        return _asked(lambda: self._client.raw_request(method, path, **dict(params or {}), **options))

    def each(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every object of a list, 100 a page."""
        after: dict[str, Any] = {}
        while True:
            page = self.call("get", path, {**params, "limit": 100, **after})
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}

    def account(self) -> str:
        """The id of the account the key belongs to."""
        return str(self.call("get", "/v1/account")["id"])

    def subscription(self, stripe_id: str) -> Subscription:
        """One subscription, as it is now."""
        return models.subscription(self.call("get", f"/v1/subscriptions/{stripe_id}", {"expand": _EXPAND}))

    def subscriptions(self) -> Iterator[Subscription]:
        """Every subscription of the account, ended ones too."""
        expand = [f"data.{name}" for name in _EXPAND]
        for raw in self.each("/v1/subscriptions", {"status": "all", "expand": expand}):
            yield models.subscription(raw)

    def running_of(self, customer_id: str, before: datetime) -> list[str]:
        """What we sold to a customer before a moment and is not over; none when Stripe has no such customer."""
        params = {"customer": customer_id, "expand": [f"data.{name}" for name in _EXPAND]}
        try:
            found = [models.subscription(raw) for raw in self.each("/v1/subscriptions", params)]
        except Gone:
            return []
        running = [one for one in found if one.plan and one.status not in ("canceled", "incomplete_expired")]
        return [one.stripe_id for one in running if one.started_at is None or one.started_at <= before]

    def end_now(self, stripe_id: str, invoice_id: str, once: str, amount: int | None = None) -> int:
        """End a subscription at once and give back ``amount`` of its latest invoice (None: all); what went back.

        May be called again after any failure: what was done is not done twice.
        """
        back = self.refund(invoice_id, once, amount)
        with contextlib.suppress(Gone):
            self.call("delete", f"/v1/subscriptions/{stripe_id}", once=f"{once}-end")
        return back

    def refund(self, invoice_id: str, once: str, amount: int | None = None) -> int:
        """Give back money of an invoice (None: what is left of it); how much went back, 0 when nothing was paid."""
        charge = self.invoice_charge(invoice_id)
        if not charge or amount == 0:
            return 0
        params = {"charge": charge, **({"amount": amount} if amount else {})}
        try:
            return int(self.call("post", "/v1/refunds", params, once=f"{once}-refund")["amount"])
        except BadInput as error:
            if "already been refunded" in str(error):
                return 0
            raise

    def paid_invoices(self, subscription_id: str) -> list[str]:
        """The invoices of a subscription that were paid."""
        return [str(one["id"]) for one in self.each("/v1/invoices", {"subscription": subscription_id, "status": "paid"})]

    def invoice_charge(self, invoice_id: str) -> str:
        """The charge that paid an invoice; empty when nothing was charged."""
        if not invoice_id:
            return ""
        expand = ["data.payment.payment_intent"]
        found = self.call("get", "/v1/invoice_payments", {"invoice": invoice_id, "status": "paid", "expand": expand})["data"]
        for one in found:
            payment = one.get("payment") or {}
            intent = payment.get("payment_intent") or {}
            charge = payment.get("charge") or (intent.get("latest_charge") if isinstance(intent, dict) else "")
            if charge:
                return str(charge)
        return ""

    def session(self, stripe_id: str) -> Session:
        """One checkout session, as it is now."""
        return models.session(self.call("get", f"/v1/checkout/sessions/{stripe_id}"))

    def finished_gifts(self) -> Iterator[Session]:
        """Checkouts of gifts that were paid for."""
        for raw in self.each("/v1/checkout/sessions", {"status": "complete"}):
            session = models.session(raw)
            if session.gift and session.paid:
                yield session

    def customer_email(self, stripe_id: str) -> str:
        """A customer's address; empty when it has none or was deleted."""
        return str(self.call("get", f"/v1/customers/{stripe_id}").get("email") or "")

    def invoice_subscription(self, stripe_id: str) -> str:
        """The subscription that an invoice is for, or empty."""
        return _parent(self.call("get", f"/v1/invoices/{stripe_id}"))

    def charge(self, stripe_id: str) -> Charge:
        """One charge with its refunds, its dispute and the subscription it paid for."""
        raw = self.call("get", f"/v1/charges/{stripe_id}")
        invoice = self._invoice_of(str(raw.get("payment_intent") or ""))
        dispute = self._dispute(stripe_id) if raw.get("disputed") else {}
        return Charge(
            stripe_id=stripe_id,
            subscription_id=_parent(invoice),
            invoice_id=str(invoice.get("id") or ""),
            amount=int(raw["amount"]),
            refunded=int(raw.get("amount_refunded") or 0),
            currency=raw["currency"],
            dispute=_DISPUTES.get(dispute.get("status", ""), "open" if dispute else ""),
            disputed_at=models.moment(dispute.get("created")),
            intent=str(raw.get("payment_intent") or ""),
        )

    def dispute_charge(self, stripe_id: str) -> str:
        """The charge that a dispute is about."""
        return str(self.call("get", f"/v1/disputes/{stripe_id}")["charge"])

    def touched_charges(self) -> Iterator[str]:
        """Charges that were given back or are disputed, each once."""
        seen: set[str] = set()
        for path in ("/v1/refunds", "/v1/disputes"):
            for raw in self.each(path, {}):
                charge = str(raw.get("charge") or "")
                if charge and charge not in seen:
                    seen.add(charge)
                    yield charge

    def _dispute(self, charge: str) -> Mapping[str, Any]:
        found = self.call("get", "/v1/disputes", {"charge": charge, "limit": 1})["data"]
        return found[0] if found else {}

    def _invoice_of(self, intent: str) -> Mapping[str, Any]:
        if not intent:
            return {}
        payment = {"type": "payment_intent", "payment_intent": intent}
        found = self.call("get", "/v1/invoice_payments", {"payment": payment, "expand": ["data.invoice"]})["data"]
        return found[0]["invoice"] if found else {}


_DISPUTES = {"won": "won", "lost": "lost", "warning_closed": "won", "prevented": "won"}


def _parent(invoice: Mapping[str, Any]) -> str:
    """The subscription of an invoice: below ``parent`` since 2025, beside it before."""
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    return str(details.get("subscription") or invoice.get("subscription") or "")


def _asked(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(call().body))
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise Refused(
            "Stripe refuses STRIPE_SECRET_KEY: copy the key anew from Stripe's dashboard, under Developers."
        ) from error
    except stripe.InvalidRequestError as error:
        said = (error.user_message or str(error)).rstrip(".")
        if error.code == "resource_missing" or error.http_status == 404:
            raise Gone(f"Stripe does not know it ({said}): run `postmerge stripe setup`, or look at its dashboard.") from error
        raise BadInput(f"Stripe does not take it: {said}.") from error
    except stripe.CardError as error:
        raise BadInput(f"The card was not charged: {(error.user_message or 'the bank said no').rstrip('.')}.") from error
    except stripe.StripeError as error:
        raise Unavailable(
            f"Stripe does not answer as it should ({type(error).__name__}): nothing is lost, it is tried again."
        ) from error
