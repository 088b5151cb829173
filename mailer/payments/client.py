"""The Stripe client. Every call that creates something carries an idempotency key, so that a retry creates nothing twice.

``UnknownAtStripe`` if Stripe does not know the object, ``Refused`` for a wrong key, ``BadInput`` for an invalid request,
``Unavailable`` if Stripe does not respond, responds too late or fails: the call may then be retried with the same key.
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
from mailer.payments.models import Charge, CheckoutSession, Subscription

TIMEOUT_SECONDS = 20  # for one response
_EXPAND = ["customer", "latest_invoice", "discounts.source.coupon"]


class UnknownAtStripe(BadInput):
    """Stripe does not know this object, or no longer."""


def is_live_key(key: str) -> bool:
    """Return whether this is a live key. Raises BadInput if it is not a secret key."""
    if not key.startswith(("sk_test_", "rk_test_", "sk_live_", "rk_live_")):
        raise BadInput(
            "STRIPE_SECRET_KEY does not look like a secret key, which begins with sk_test_, sk_live_, rk_test_ or rk_live_."
        )
    return key.startswith(("sk_live_", "rk_live_"))


class Stripe:
    """A client for one account. Thread-safe. ``base`` replaces Stripe's address, for rehearsals."""

    def __init__(self, key: str, base: str = "", timeout: float = TIMEOUT_SECONDS) -> None:
        self.live = is_live_key(key)
        where: Any = {"base_addresses": {"api": base}} if base else {}
        http = stripe.RequestsClient(timeout=timeout)
        self._client = stripe.StripeClient(key, http_client=http, max_network_retries=2, **where)

    def call(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, idempotency_key: str = ""
    ) -> dict[str, Any]:
        """Make one call by its path, as in Stripe's reference; ``idempotency_key`` is for calls that create something."""
        options: Any = {"idempotency_key": idempotency_key} if idempotency_key else {}
        return _call(lambda: self._client.raw_request(method, path, **dict(params or {}), **options))

    def iterate(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield every object of a list, 100 a page."""
        after: dict[str, Any] = {}
        while True:
            page = self.call("get", path, {**params, "limit": 100, **after})
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}

    def get_account_id(self) -> str:
        """Return the id of the key's account."""
        return str(self.call("get", "/v1/account")["id"])

    def get_subscription(self, stripe_id: str) -> Subscription:
        """Return one subscription in its current state."""
        return models.parse_subscription(self.call("get", f"/v1/subscriptions/{stripe_id}", {"expand": _EXPAND}))

    def get_product_name(self, stripe_id: str) -> str:
        """Return the name of what a subscription is for: the plan's title when it was sold. Empty if there is none."""
        raw = self.call("get", f"/v1/subscriptions/{stripe_id}", {"expand": ["items.data.price.product"]})
        found = [(item.get("price") or {}).get("product") for item in raw["items"]["data"]]
        return next((str(product.get("name") or "") for product in found if isinstance(product, dict)), "")

    def iterate_subscriptions(self) -> Iterator[Subscription]:
        """Yield every subscription of the account, including ended ones."""
        expand = [f"data.{name}" for name in _EXPAND]
        for raw in self.iterate("/v1/subscriptions", {"status": "all", "expand": expand}):
            yield models.parse_subscription(raw)

    def list_running(self, customer_id: str, before: datetime) -> list[str]:
        """Return a customer's subscriptions sold by us before a moment and not ended; none for an unknown customer."""
        params = {"customer": customer_id, "expand": [f"data.{name}" for name in _EXPAND]}
        try:
            found = [models.parse_subscription(raw) for raw in self.iterate("/v1/subscriptions", params)]
        except UnknownAtStripe:
            return []
        running = [one for one in found if one.plan and one.status not in ("canceled", "incomplete_expired")]
        return [one.stripe_id for one in running if one.started_at is None or one.started_at <= before]

    def cancel_with_refund(self, stripe_id: str, invoice_id: str, idempotency_key: str, amount: int | None = None) -> int:
        """Cancel a subscription at once and refund ``amount`` of its latest invoice (None: all); return the refund.

        May be retried after any failure: nothing is done twice.
        """
        back = self.refund(invoice_id, idempotency_key, amount)
        with contextlib.suppress(UnknownAtStripe):
            self.call("delete", f"/v1/subscriptions/{stripe_id}", idempotency_key=f"{idempotency_key}-end")
        return back

    def refund(self, invoice_id: str, idempotency_key: str, amount: int | None = None) -> int:
        """Refund money of an invoice (None: what is left of it); return the amount, 0 if nothing was paid or a bank took it."""
        charge = self.get_invoice_charge(invoice_id)
        if not charge or amount == 0:
            return 0
        params = {"charge": charge, **({"amount": amount} if amount else {})}
        try:
            return int(self.call("post", "/v1/refunds", params, idempotency_key=f"{idempotency_key}-refund")["amount"])
        except BadInput as error:
            if any(one in str(error) for one in ("already been refunded", "been charged back")):
                return 0
            raise

    def list_paid_invoices(self, subscription_id: str) -> list[str]:
        """Return the paid invoices of a subscription."""
        return [str(one["id"]) for one in self.iterate("/v1/invoices", {"subscription": subscription_id, "status": "paid"})]

    def get_invoice_charge(self, invoice_id: str) -> str:
        """Return the charge that paid an invoice; empty if nothing was charged."""
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

    def get_session(self, stripe_id: str) -> CheckoutSession:
        """Return one checkout session in its current state."""
        return models.parse_session(self.call("get", f"/v1/checkout/sessions/{stripe_id}"))

    def iterate_paid_gifts(self) -> Iterator[CheckoutSession]:
        """Yield the checkouts of paid gifts."""
        for raw in self.iterate("/v1/checkout/sessions", {"status": "complete"}):
            session = models.parse_session(raw)
            if session.gift and session.paid:
                yield session

    def get_customer_email(self, stripe_id: str) -> str:
        """Return a customer's address; empty if it has none or was deleted."""
        return str(self.call("get", f"/v1/customers/{stripe_id}").get("email") or "")

    def get_invoice_subscription(self, stripe_id: str) -> str:
        """Return the subscription that an invoice is for, or empty."""
        return _get_subscription_id(self.call("get", f"/v1/invoices/{stripe_id}"))

    def get_charge(self, stripe_id: str) -> Charge:
        """Return one charge with its refunds, its dispute and the subscription it paid for."""
        raw = self.call("get", f"/v1/charges/{stripe_id}")
        invoice = self._invoice_of(str(raw.get("payment_intent") or ""))
        dispute = self._dispute(stripe_id) if raw.get("disputed") else {}
        return Charge(
            stripe_id=stripe_id,
            subscription_id=_get_subscription_id(invoice),
            invoice_id=str(invoice.get("id") or ""),
            amount=int(raw["amount"]),
            refunded=int(raw.get("amount_refunded") or 0),
            currency=raw["currency"],
            dispute=_judge_dispute(dispute),
            disputed_at=models.parse_timestamp(dispute.get("created")),
            intent=str(raw.get("payment_intent") or ""),
            is_inquiry=dispute.get("status") in ("warning_needs_response", "warning_under_review"),
        )

    def get_disputed_charge(self, stripe_id: str) -> str:
        """Return the charge that a dispute is about."""
        return str(self.call("get", f"/v1/disputes/{stripe_id}")["charge"])

    def iterate_changed_charges(self) -> Iterator[str]:
        """Yield charges that were refunded or disputed, each once."""
        seen: set[str] = set()
        for path in ("/v1/refunds", "/v1/disputes"):
            for raw in self.iterate(path, {}):
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


_DISPUTES = {"needs_response": "open", "under_review": "open", "won": "won", "lost": "lost", "prevented": ""}


def _judge_dispute(dispute: Mapping[str, Any]) -> str:
    """Return what a dispute means for the payment: open, won, lost, or '' while no money has moved.

    An inquiry (``warning_…``) moves none, and a ``prevented`` dispute only by a refund, which the charge shows. A status that
    is new at Stripe is judged by the money.
    """
    status = str(dispute.get("status") or "")
    return _DISPUTES.get(status, "open" if dispute.get("balance_transactions") else "")


def _get_subscription_id(invoice: Mapping[str, Any]) -> str:
    """Return the subscription of an invoice: under ``parent`` since 2025, at the top level before."""
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    return str(details.get("subscription") or invoice.get("subscription") or "")


def _call(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(call().body))
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise Refused(
            "Stripe rejects STRIPE_SECRET_KEY: copy the key again from the Stripe dashboard, under Developers."
        ) from error
    except stripe.InvalidRequestError as error:
        said = (error.user_message or str(error)).rstrip(".")
        if error.code == "resource_missing" or error.http_status == 404:
            raise UnknownAtStripe(
                f"Stripe does not know the object ({said}): run `postmerge stripe setup`, or check the Stripe dashboard."
            ) from error
        raise BadInput(f"Stripe rejects the request: {said}.") from error
    except stripe.CardError as error:
        raise BadInput(f"The card was not charged: {(error.user_message or 'the bank declined it').rstrip('.')}.") from error
    except stripe.StripeError as error:
        raise Unavailable(
            f"Stripe does not respond as expected ({type(error).__name__}): nothing is lost, it will be retried."
        ) from error
