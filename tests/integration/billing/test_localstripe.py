"""Our line to Stripe and our webhook against localstripe, a stand-in that others wrote, where it knows what we use.

It has no prices, checkouts, portal, disputes or idempotency keys: those stand before our own fake, see docs/how-to/paid.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.fakes.fake_stripe import SECRET, FakeStripe
from mailer.fakes.free_ports import find_free_port
from mailer.payments.client import Stripe, UnknownAtStripe
from tests import paying
from tests.paying import Shop
from tests.web import served

FOUND = os.environ.get("LOCALSTRIPE") or shutil.which("localstripe", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

pytestmark = pytest.mark.skipif(FOUND is None, reason="localstripe is missing: pip install localstripe, or set LOCALSTRIPE")


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    port = find_free_port()
    process = subprocess.Popen(
        [str(FOUND), "--port", str(port), "--from-scratch"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.fixture
def client(base: str) -> Stripe:
    return Stripe("sk_test_12345", base)


def subscribe(client: Stripe) -> tuple[str, str]:
    """A customer with a card and a subscription; their ids."""
    product = client.call(
        "post", "/v1/products", {"name": "Monthly", "metadata": {"postmerge_plan": "monthly"}}, idempotency_key="a"
    )
    plan = {"id": "monthly", "amount": 500, "currency": "eur", "interval": "month", "product": product["id"]}
    client.call("post", "/v1/plans", plan, idempotency_key="b")
    customer = client.call("post", "/v1/customers", {"email": "ada@example.org"}, idempotency_key="c")["id"]
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2099, "cvc": "123"}
    method = client.call("post", "/v1/payment_methods", {"type": "card", "card": card}, idempotency_key="d")["id"]
    client.call("post", f"/v1/payment_methods/{method}/attach", {"customer": customer}, idempotency_key="e")
    paid_by = {"invoice_settings": {"default_payment_method": method}}
    client.call("post", f"/v1/customers/{customer}", paid_by, idempotency_key="f")
    asked = {"customer": customer, "items": [{"plan": "monthly"}]}
    return customer, client.call("post", "/v1/subscriptions", asked, idempotency_key="g")["id"]


def test_products_customers_subscriptions_and_refunds_go_over_our_line(client: Stripe) -> None:
    customer, subscription = subscribe(client)
    assert [one["name"] for one in client.iterate("/v1/products", {})] == ["Monthly"]
    assert client.get_customer_email(customer) == "ada@example.org"
    ends = client.call("post", f"/v1/subscriptions/{subscription}", {"cancel_at_period_end": True}, idempotency_key="h")
    assert ends["cancel_at_period_end"] is True
    [invoice] = client.call("get", "/v1/invoices", {"subscription": subscription})["data"]
    charge = invoice["charge"]["id"] if isinstance(invoice["charge"], dict) else invoice["charge"]
    assert client.call("post", "/v1/refunds", {"charge": charge, "amount": 200}, idempotency_key="i")["amount"] == 200
    client.call("delete", f"/v1/subscriptions/{subscription}", idempotency_key="j")
    with pytest.raises(UnknownAtStripe):
        client.get_customer_email("cus_nobody")


def test_what_it_does_not_know_is_one_sentence(client: Stripe) -> None:
    with pytest.raises(Unavailable, match="Stripe does not respond as expected"):
        client.get_account_id()


def test_its_signed_events_are_taken_by_our_webhook(base: str, client: Stripe, database: Database, tmp_path: Path) -> None:
    with FakeStripe() as fake:
        shop = Shop(paying.settings(tmp_path, database, fake), database, fake)
    with served(shop.client.app) as url:
        told = {"url": f"{url}/webhooks/stripe", "secret": SECRET}
        request = urllib.request.Request(f"{base}/_config/webhooks/ours", urllib.parse.urlencode(told).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        customer, _ = subscribe(client)
        kinds: set[str] = set()
        for _ in range(100):
            with database.transaction() as tx:
                kinds = {row["type"] for row in tx.all("SELECT type FROM stripe_events WHERE object_id <> ''")}
            if {"customer.created", "customer.subscription.created"} <= kinds:
                break
            time.sleep(0.2)
    assert {"customer.created", "customer.subscription.created"} <= kinds
    assert all(kind.startswith(("customer.", "invoice.", "charge.")) for kind in kinds), json.dumps(sorted(kinds))
    with database.transaction() as tx:
        assert customer in {row["object_id"] for row in tx.all("SELECT object_id FROM stripe_events")}
