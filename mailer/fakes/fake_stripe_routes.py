"""The part of Stripe's API that we use: one function for each path."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from mailer.fakes.fake_stripe_books import ACCOUNT, DAY, Books, FakeStripeError, StripeObject

Do = Callable[[Books, StripeObject, str], StripeObject]


def route(books: Books, method: str, path: str, params: StripeObject) -> StripeObject:
    """Return the response to one call."""
    expand = params.pop("expand", [])
    for verb, pattern, do in _ROUTES:
        match = re.fullmatch(pattern, path)
        if verb == method and match:
            found = copy.deepcopy(do(books, params, match[1] if match.groups() else ""))
            for field in expand:
                _expand(books, found, field.split("."))
            return found
    raise FakeStripeError(404, "", f"Unrecognized request URL ({method}: {path}).")


def _expand(books: Books, thing: Any, parts: list[str]) -> None:
    if isinstance(thing, list):
        for one in thing:
            _expand(books, one, parts)
    elif isinstance(thing, dict) and parts and parts[0] in thing:
        inner = thing[parts[0]]
        if isinstance(inner, str) and inner in books.things:
            thing[parts[0]] = copy.deepcopy(books.things[inner])
        _expand(books, thing[parts[0]], parts[1:])


def _list(kind: str, *filters: str) -> Do:
    def answer(books: Books, params: StripeObject, _: str) -> StripeObject:
        found = [t for t in books.of(kind) if all(name not in params or _same(t.get(name), params[name]) for name in filters)]
        if (after := params.get("starting_after")) is not None:
            names = [thing["id"] for thing in found]
            found = found[names.index(after) + 1 :]
        limit = int(params.get("limit") or 10)
        return {"object": "list", "data": found[:limit], "has_more": len(found) > limit}

    return answer


def _same(have: Any, want: str) -> bool:
    return have == (want == "true") if isinstance(have, bool) else str(have) == want


def _get(kind: str) -> Do:
    return lambda books, params, name: books.get(name, kind)


def _make(kind: str, prefix: str, event: str = "", **defaults: Any) -> Do:
    def answer(books: Books, params: StripeObject, _: str) -> StripeObject:
        made = books.add(kind, prefix, **{**copy.deepcopy(defaults), **_typed(params)})
        if event:
            books.emit(event, made)
        return made

    return answer


def _change(kind: str, event: str = "") -> Do:
    def answer(books: Books, params: StripeObject, name: str) -> StripeObject:
        thing = books.get(name, kind)
        values = _typed(params)
        metadata = values.pop("metadata", {})
        thing.update(values)
        _mark(thing, metadata)
        if event:
            books.emit(event, thing)
        return thing

    return answer


def _mark(thing: StripeObject, metadata: Any) -> None:
    """Merge metadata; an empty value removes a name."""
    merged = {**thing["metadata"], **(metadata or {})}
    thing["metadata"] = {name: value for name, value in merged.items() if value != ""}


def _typed(params: StripeObject) -> StripeObject:
    """Convert form values: numbers and booleans in Stripe's objects are not text."""

    def typed(name: str, value: Any) -> Any:
        if name == "metadata":
            return value
        if isinstance(value, dict):
            return {inner: typed(inner, one) for inner, one in value.items()}
        if isinstance(value, list):
            return [typed(name, one) for one in value]
        if value in ("true", "false"):
            return value == "true"
        number = isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value) and name not in ("lookup_key", "code")
        return int(value) if number else value

    return {name: typed(name, value) for name, value in params.items()}


def _subscription(books: Books, params: StripeObject, name: str) -> StripeObject:
    sub = books.get(name, "subscription")
    if sub["status"] == "canceled" and set(params) - {"metadata"}:
        raise FakeStripeError(400, "", "A canceled subscription can only update its cancellation_details and metadata.")
    item = sub["items"]["data"][0]
    _mark(sub, params.get("metadata"))
    if "pause_collection" in params:
        sub["pause_collection"] = _typed(params)["pause_collection"] or None
    if "cancel_at_period_end" in params:
        sub["cancel_at_period_end"] = params["cancel_at_period_end"] == "true"
        sub["canceled_at"] = books.now if sub["cancel_at_period_end"] else None
    if "trial_end" in params:
        end = int(params["trial_end"])
        if end <= books.now:
            raise FakeStripeError(400, "", "Invalid timestamp: must be an integer Unix timestamp in the future.")
        item.update(current_period_start=books.now, current_period_end=end)
        sub.update(trial_end=end, status="trialing")
    if params.get("billing_cycle_anchor") == "now":
        item["current_period_end"] = books.now
        books._renew(sub)
    books.emit("customer.subscription.updated", sub)
    return sub


def _cancel(books: Books, params: StripeObject, name: str) -> StripeObject:
    sub = books.get(name, "subscription")
    if sub["status"] == "canceled":
        raise FakeStripeError(404, "resource_missing", f"No such subscription: '{name}'")
    books.end(sub)
    return sub


def _pause(books: Books, params: StripeObject, name: str) -> StripeObject:
    """Pause in the newer way: the status is paused, and time stops."""
    sub = books.get(name, "subscription")
    sub.update(status="paused", paused_at=books.now)
    books.emit("customer.subscription.paused", sub)
    return sub


def _resume(books: Books, params: StripeObject, name: str) -> StripeObject:
    sub = books.get(name, "subscription")
    if sub["status"] != "paused":
        raise FakeStripeError(400, "", "Cannot resume subscription because it is not paused.")
    item = sub["items"]["data"][0]
    item["current_period_end"] = books.now
    sub["status"] = "active"
    books._renew(sub)
    books.emit("customer.subscription.resumed", sub)
    return sub


def _checkout(books: Books, params: StripeObject, _: str) -> StripeObject:
    session = books.add("checkout.session", "cs_test", status="open", payment_status="unpaid", subscription=None, customer=None)
    session.update(_typed(params), url=f"{books.pages}/{session['id']}")
    return session


def complete(books: Books, session_id: str, email: str) -> StripeObject:
    """Complete a checkout: the subscriber pays on Stripe's page."""
    session = books.get(session_id, "checkout.session")
    if session["status"] == "complete":
        return session
    known = session["customer"] or books.add("customer", "cus", email=session.get("customer_email") or email)["id"]
    line = session["line_items"][0]
    data = session.get("subscription_data") or {}
    price = books.get(line["price"], "price") if "price" in line else {"unit_amount": line["price_data"]["unit_amount"]}
    if session["mode"] == "subscription":
        sub = books.subscribe(
            known, line["price"], data.get("metadata") or {}, int(data.get("trial_period_days") or 0),
            [{"source": {"type": "coupon", "coupon": one["coupon"]}} for one in session.get("discounts") or []],
        )  # fmt: skip
        session["subscription"] = sub["id"]
    else:
        books.charged.append((known, int(price["unit_amount"])))
        session["payment_intent"] = f"pi_{session_id}"
        books.add(
            "charge", "ch", customer=known, amount=int(price["unit_amount"]), amount_refunded=0, refunded=False, disputed=False,
            currency=line["price_data"]["currency"], payment_intent=session["payment_intent"],
        )  # fmt: skip
    session.update(
        status="complete", payment_status="paid", customer=known, amount_total=int(price["unit_amount"]),
        customer_details={"email": books.get(known)["email"]},
    )  # fmt: skip
    books.emit("checkout.session.completed", session)
    return session


def _invoice_payments(books: Books, params: StripeObject, _: str) -> StripeObject:
    invoice = params.get("invoice") or str(params["payment"]["payment_intent"]).removeprefix("pi_")
    charge = books.things.get(invoice, {}).get("charge_id")
    payment = {"type": "payment_intent", "payment_intent": {"id": f"pi_{invoice}", "latest_charge": charge}}
    data = [{"object": "invoice_payment", "invoice": invoice, "payment": payment}] if charge else []
    return {"object": "list", "data": data, "has_more": False}


def _invoices(books: Books, params: StripeObject, name: str) -> StripeObject:
    wanted = params.pop("subscription", None)
    found = _list("invoice", "status")(books, {**params, "limit": 100}, name)
    about = [one for one in found["data"] if one["parent"]["subscription_details"]["subscription"] == wanted]
    return {**found, "data": about}


def _prices(books: Books, params: StripeObject, name: str) -> StripeObject:
    wanted = params.pop("lookup_keys", None)
    found = _list("price", "active", "product")(books, params, name)
    if wanted:
        found["data"] = [one for one in found["data"] if one.get("lookup_key") in wanted]
    return found


def _new_price(books: Books, params: StripeObject, name: str) -> StripeObject:
    books.get(params["product"], "product")
    _transfer(books, params)
    return _make("price", "price", active=True, lookup_key=None)(books, params, name)


def _change_price(books: Books, params: StripeObject, name: str) -> StripeObject:
    _transfer(books, params)
    return _change("price")(books, params, name)


def _transfer(books: Books, params: StripeObject) -> None:
    """A lookup key belongs to one price; it moves only when the call says so."""
    moves = params.pop("transfer_lookup_key", "") == "true"
    for other in books.of("price"):
        if params.get("lookup_key") and other.get("lookup_key") == params["lookup_key"]:
            if not moves:
                raise FakeStripeError(400, "resource_already_exists", "A price with this lookup key already exists.")
            other["lookup_key"] = None


def _refund(books: Books, params: StripeObject, _: str) -> StripeObject:
    return books.refund(params["charge"], int(params["amount"]) if "amount" in params else None)


def _charges(books: Books, params: StripeObject, name: str) -> StripeObject:
    found = [charge for charge in books.of("charge") if charge["customer"] == params.get("customer", charge["customer"])]
    return {"object": "list", "data": found[: int(params.get("limit") or 10)], "has_more": False}


_ROUTES: list[tuple[str, str, Do]] = [
    ("GET", "/v1/account", lambda books, params, name: {"id": ACCOUNT, "object": "account"}),
    ("GET", "/v1/subscriptions", lambda b, p, n: _list("subscription", "customer")(b, p, n)),
    ("GET", "/v1/subscriptions/([^/]+)", _get("subscription")),
    ("POST", "/v1/subscriptions/([^/]+)", _subscription),
    ("DELETE", "/v1/subscriptions/([^/]+)", _cancel),
    ("POST", "/v1/subscriptions/([^/]+)/pause", _pause),
    ("POST", "/v1/subscriptions/([^/]+)/resume", _resume),
    ("POST", "/v1/checkout/sessions", _checkout),
    ("GET", "/v1/checkout/sessions", _list("checkout.session", "status")),
    ("GET", "/v1/checkout/sessions/([^/]+)", _get("checkout.session")),
    ("POST", "/v1/customers", _make("customer", "cus", "customer.created", email=None)),
    ("GET", "/v1/customers/([^/]+)", _get("customer")),
    ("POST", "/v1/customers/([^/]+)", _change("customer", "customer.updated")),
    ("GET", "/v1/invoices", _invoices),
    ("GET", "/v1/invoices/([^/]+)", _get("invoice")),
    ("GET", "/v1/invoice_payments", _invoice_payments),
    ("GET", "/v1/charges", _charges),
    ("GET", "/v1/charges/([^/]+)", _get("charge")),
    ("POST", "/v1/refunds", _refund),
    ("GET", "/v1/refunds", _list("refund", "charge")),
    ("GET", "/v1/disputes", _list("dispute", "charge")),
    ("GET", "/v1/disputes/([^/]+)", _get("dispute")),
    ("GET", "/v1/products", _list("product", "active")),
    ("POST", "/v1/products", _make("product", "prod", active=True)),
    ("POST", "/v1/products/([^/]+)", _change("product")),
    ("GET", "/v1/prices", _prices),
    ("POST", "/v1/prices", _new_price),
    ("GET", "/v1/prices/([^/]+)", _get("price")),
    ("POST", "/v1/prices/([^/]+)", _change_price),
    ("GET", "/v1/coupons", _list("coupon")),
    ("POST", "/v1/coupons", _make("coupon", "co")),
    ("GET", "/v1/webhook_endpoints", _list("webhook_endpoint")),
    ("POST", "/v1/webhook_endpoints", _make("webhook_endpoint", "we", secret="whsec_fake_signing_secret", status="enabled")),
    ("POST", "/v1/webhook_endpoints/([^/]+)", _change("webhook_endpoint")),
    ("POST", "/v1/billing_portal/sessions", _make("billing_portal.session", "bps", url="https://billing.stripe.example/p")),
    ("GET", "/v1/billing_portal/configurations", _list("billing_portal.configuration")),
    ("POST", "/v1/billing_portal/configurations", _make("billing_portal.configuration", "bpc", active=True)),
    ("POST", "/v1/billing_portal/configurations/([^/]+)", _change("billing_portal.configuration")),
]  # fmt: skip

__all__ = ["DAY", "complete", "route"]
