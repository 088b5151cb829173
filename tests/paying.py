"""A newsletter that sells, with a fake Stripe beside it, for tests and the chaos bench."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from fastapi.testclient import TestClient
from stripe import HTTPClient

from api.app import create_app
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.core.tokens import Recipient
from mailer.fakes.fake_stripe import SECRET, EventFaults, FakeStripe
from mailer.fakes.fake_stripe_books import StripeObject
from mailer.flows.billing import billing_jobs
from mailer.flows.billing.entitlements import Entitlement, restore_entitlement
from mailer.payments.models import parse_timestamp
from mailer.store.billing import entitlement_records, stripe_events
from mailer.store.subscribers import subscribers
from tests import factories

setattr(HTTPClient, "INITIAL_DELAY", 0.01)  # noqa: B010 (seconds between the library's own tries)


@dataclass
class Shop:
    """``settings`` and ``database`` of ours, ``fake`` is Stripe."""

    settings: Settings
    database: Database
    fake: FakeStripe
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        self.client = TestClient(
            create_app(
                settings=self.settings, database=self.database, site_folder=self.settings.site_folder,
                outbox=self.settings.outbox, wake_transactional=lambda: True, site_name="The Letter",
            ), follow_redirects=False,
        )  # fmt: skip
        with self.database.transaction() as tx:
            stripe_events.bind_account(tx, "acct_fake", self.fake.books.livemode)
        self.monthly = self.price("monthly", 500, "month")
        self.yearly = self.price("yearly", 5000, "year")

    def price(self, plan: str, amount: int, interval: str) -> str:
        """A price at Stripe; without a plan it is somebody else's."""
        fields = {"unit_amount": amount, "currency": "eur", "recurring": {"interval": interval}, "active": True}
        made = self.fake.books.add("price", "price", **fields)
        made["metadata"] = {"postmerge_plan": plan} if plan else {}
        return str(made["id"])

    def recipient(self, subscriber_id: int) -> Recipient:
        """Whom a subscriber's private links are for."""
        return factories.recipient(self.database, subscriber_id)

    def add_subscriber(self, email: str = "ada@example.org") -> int:
        """An active subscriber."""
        with self.database.transaction() as tx:
            known = subscribers.add(tx, email, email, [])
            subscribers.activate(tx, known)
        return known

    def buy(self, email: str = "ada@example.org", price: str = "", **more: Any) -> StripeObject:
        """Somebody pays at Stripe; the subscription."""
        books = self.fake.books
        with self.fake.lock:
            customer = books.add("customer", "cus", email=email)
            return books.subscribe(customer["id"], price or self.monthly, {}, **more)

    def post(self, body: bytes, signature: str) -> int:
        """What Stripe posts."""
        answer = self.client.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": signature})
        return int(answer.status_code)

    def hear(self, habits: EventFaults | None = None) -> None:
        """Stripe's events arrive and the worker looks."""
        self.fake.deliver(self.post, self.chance, habits)
        self.work()

    def work(self) -> None:
        """What the worker does."""
        while billing_jobs.run_pending(self.database, self.settings):
            pass

    def hurry(self) -> None:
        """Let what waits be due now."""
        with self.database.transaction() as tx:
            tx.run("UPDATE stripe_events SET due_at = now() WHERE done_at IS NULL")

    def entitlement(self, email: str = "ada@example.org") -> Entitlement:
        """What a subscriber may read at the fake's current time."""
        with self.database.transaction() as tx:
            known = subscribers.find(tx, email)
            now = parse_timestamp(self.fake.books.now)
            assert now
            return restore_entitlement(entitlement_records.get(tx, known.id) if known else None, now)

    def subjects(self) -> list[str]:
        """Subjects of all emails about money, oldest first."""
        with self.database.transaction() as tx:
            rows = tx.all("SELECT facts ->> 'subject' AS subject FROM transactional_emails WHERE kind = 'paid' ORDER BY id")
        return [row["subject"] for row in rows]


def settings(folder: Any, database: Database, fake: FakeStripe, **more: Any) -> Settings:
    """Settings of a newsletter that sells through the fake."""
    return factories.settings(
        folder, database.url, stripe_key=fake.key, stripe_webhook_secret=SECRET, stripe_base=fake.url, **more
    )
