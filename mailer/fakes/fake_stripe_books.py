"""The fake Stripe's state: objects, its own time, renewals, and the events about all of it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

DAY = 86_400
MONTH = 30 * DAY  # in the fake
ACCOUNT = "acct_fake"
_RETRIES = (3 * DAY, 5 * DAY, 7 * DAY)  # after the first failure; then the subscription ends
_LENGTH = {"day": DAY, "week": 7 * DAY, "month": MONTH, "year": 12 * MONTH}

StripeObject = dict[str, Any]


class FakeStripeError(Exception):
    """An error response in Stripe's form: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Books:
    """All objects by id, in order of creation. ``now`` is seconds since 1970 and changes only by ``advance``."""

    def __init__(self, now: int, livemode: bool = False) -> None:
        self.now = now
        self.livemode = livemode
        self.things: dict[str, StripeObject] = {}
        self.events: list[StripeObject] = []
        self.bad_cards: set[str] = set()  # customers whose card is declined
        self.charged: list[tuple[str, int]] = []  # customer and amount of every charge, as the bank sees it
        self.pages = "https://checkout.stripe.example"  # the address of checkout pages
        self._numbers = itertools.count(1)

    def add(self, kind: str, prefix: str, **fields: Any) -> StripeObject:
        """Create an object."""
        name = f"{prefix}_{next(self._numbers):06d}"
        thing: StripeObject = {
            "id": name,
            "object": kind,
            "created": self.now,
            "livemode": self.livemode,
            "metadata": {},
            **fields,
        }
        self.things[name] = thing
        return thing

    def get(self, name: str, kind: str = "") -> StripeObject:
        """Return an object, or raise Stripe's 404."""
        thing = self.things.get(name)
        if thing is None or (kind and thing["object"] != kind):
            raise FakeStripeError(404, "resource_missing", f"No such {kind or 'object'}: '{name}'")
        return thing

    def of(self, kind: str) -> list[StripeObject]:
        """Return every object of a kind, newest first, as Stripe lists them."""
        return [thing for thing in reversed(self.things.values()) if thing["object"] == kind]

    def emit(self, kind: str, thing: StripeObject) -> None:
        """Emit an event with the object's current state."""
        event = self.add("event", "evt", type=kind, data={"object": copy.deepcopy(thing)}, api_version="2026-10-28.endive")
        del self.things[event["id"]]
        self.events.append(event)

    # Subscriptions

    def subscribe(
        self, customer: str, price: str, metadata: StripeObject, trial_days: int = 0, discounts: Any = ()
    ) -> StripeObject:
        """Start a subscription and pay its first invoice."""
        made = self.get(price, "price")
        if not made.get("active", True):
            raise FakeStripeError(
                400, "price_inactive", "The price specified is inactive. This field only accepts active prices."
            )
        trial_end = self.now + trial_days * DAY if trial_days else None
        item = {"id": "si_" + price, "price": made, "quantity": 1, "current_period_start": self.now}
        item["current_period_end"] = trial_end or self.now + self._length(made)
        sub = self.add(
            "subscription", "sub", customer=customer, status="trialing" if trial_end else "active", start_date=self.now,
            items={"object": "list", "data": [item]}, currency=made["currency"], pause_collection=None, cancel_at=None,
            cancel_at_period_end=False, trial_end=trial_end, ended_at=None, canceled_at=None, latest_invoice=None,
            discounts=list(discounts), tries=0, next_try=None,
        )  # fmt: skip
        sub["metadata"] = dict(metadata)
        self._bill(sub, 0 if trial_end else self.price_of(sub))
        self.emit("customer.subscription.created", sub)
        return sub

    def price_of(self, sub: StripeObject) -> int:
        """Return an interval's price after coupons."""
        total = sum(item["price"]["unit_amount"] * item["quantity"] for item in sub["items"]["data"])
        for discount in sub["discounts"]:
            coupon = self.get(discount["source"]["coupon"], "coupon")
            total -= int(coupon.get("amount_off") or 0) + round(total * float(coupon.get("percent_off") or 0) / 100)
        return int(max(0, total))

    def end(self, sub: StripeObject, emit: bool = True) -> None:
        """End the subscription now."""
        sub.update(status="canceled", ended_at=self.now, canceled_at=sub["canceled_at"] or self.now, next_try=None)
        if emit:
            self.emit("customer.subscription.deleted", sub)

    def advance(self, seconds: int) -> None:
        """Advance the time: renewals, ends of trials, retries of failed cards, cancellations, ends of pauses."""
        goal = self.now + seconds
        while due := self._next(goal):
            self.now, step, sub = max(self.now, due[0]), due[1], due[2]
            step(sub)
        self.now = goal

    def _next(self, goal: int) -> tuple[int, Callable[[StripeObject], None], StripeObject] | None:
        found: list[tuple[int, Callable[[StripeObject], None], StripeObject]] = []
        for sub in self.of("subscription"):
            if sub["status"] not in ("active", "trialing", "past_due"):
                continue
            pause = sub["pause_collection"]
            found += [(pause["resumes_at"], self._unpause, sub)] if pause and pause.get("resumes_at") else []
            found += [(sub["cancel_at"], self.end, sub)] if sub["cancel_at"] else []
            found += [(sub["next_try"], self._again, sub)] if sub["next_try"] else []
            found.append((sub["items"]["data"][0]["current_period_end"], self._renew, sub))
        ready = [one for one in found if one[0] <= goal]
        return min(ready, key=lambda one: one[0]) if ready else None

    def _renew(self, sub: StripeObject) -> None:
        item = sub["items"]["data"][0]
        if sub["cancel_at_period_end"]:
            return self.end(sub)
        item["current_period_start"] = item["current_period_end"]
        item["current_period_end"] += self._length(item["price"])
        if sub["status"] == "trialing":
            sub["status"] = "active"
        self._bill(sub, self.price_of(sub))
        self.emit("customer.subscription.updated", sub)

    def _unpause(self, sub: StripeObject) -> None:
        sub["pause_collection"] = None
        self.emit("customer.subscription.updated", sub)

    def _again(self, sub: StripeObject) -> None:
        invoice = self.get(sub["latest_invoice"])
        if sub["customer"] not in self.bad_cards:
            self._paid(sub, invoice)
            sub.update(status="active", tries=0, next_try=None)
            return self.emit("customer.subscription.updated", sub)
        sub["tries"] += 1
        if sub["tries"] > len(_RETRIES):
            invoice["status"] = "uncollectible"
            return self.end(sub)
        sub["next_try"] = self.now + _RETRIES[sub["tries"] - 1]
        self.emit("invoice.payment_failed", invoice)

    def _bill(self, sub: StripeObject, amount: int) -> None:
        invoice = self.add(
            "invoice", "in", customer=sub["customer"], status="open", amount_due=amount, amount_paid=0,
            parent={"type": "subscription_details", "subscription_details": {"subscription": sub["id"]}},
        )  # fmt: skip
        sub["latest_invoice"] = invoice["id"]
        if sub["pause_collection"]:
            invoice["status"] = {"void": "void", "mark_uncollectible": "uncollectible"}.get(
                sub["pause_collection"]["behavior"], "draft"
            )
            return
        if amount and sub["customer"] in self.bad_cards:
            sub.update(status="past_due", tries=1, next_try=self.now + _RETRIES[0])
            return self.emit("invoice.payment_failed", invoice)
        self._paid(sub, invoice)

    def _paid(self, sub: StripeObject, invoice: StripeObject) -> None:
        invoice.update(status="paid", amount_paid=invoice["amount_due"])
        if invoice["amount_due"]:
            self.charged.append((sub["customer"], invoice["amount_due"]))
            charge = self.add(
                "charge", "ch", customer=sub["customer"], amount=invoice["amount_due"], amount_refunded=0, refunded=False,
                disputed=False, currency=sub["currency"], invoice_id=invoice["id"], payment_intent=f"pi_{invoice['id']}",
            )  # fmt: skip
            invoice["charge_id"] = charge["id"]
        self.emit("invoice.paid", invoice)

    # Money that goes back

    def refund(self, charge_id: str, amount: int | None) -> StripeObject:
        """Refund a charge."""
        charge = self.get(charge_id, "charge")
        if any(
            one["status"] in ("needs_response", "under_review", "lost")
            for one in self.of("dispute")
            if one["charge"] == charge_id
        ):
            raise FakeStripeError(400, "charge_disputed", f"Charge {charge_id} has been charged back; cannot issue a refund.")
        amount = amount or charge["amount"] - charge["amount_refunded"]
        if amount <= 0 or charge["amount_refunded"] + amount > charge["amount"]:
            raise FakeStripeError(400, "charge_already_refunded", f"Charge {charge_id} has already been refunded.")
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.charged.append((charge["customer"], -amount))
        made = self.add("refund", "re", charge=charge_id, amount=amount, currency=charge["currency"], status="succeeded")
        self.emit("charge.refunded", charge)
        return made

    def dispute(self, charge_id: str, status: str = "needs_response") -> StripeObject:
        """Open a dispute: the subscriber's bank takes the money back for now. An inquiry (``warning_…``) takes none."""
        charge = self.get(charge_id, "charge")
        charge["disputed"] = True
        made = self.add("dispute", "dp", charge=charge_id, amount=charge["amount"], status=status)
        self.emit("charge.dispute.created", made)
        return made

    def judge(self, dispute_id: str, status: str) -> None:
        """Close a dispute as won or lost."""
        dispute = self.get(dispute_id, "dispute")
        dispute["status"] = status
        self.emit("charge.dispute.closed", dispute)

    def _length(self, price: StripeObject) -> int:
        recurring = price["recurring"]
        return int(_LENGTH[recurring["interval"]] * int(recurring.get("interval_count") or 1))
