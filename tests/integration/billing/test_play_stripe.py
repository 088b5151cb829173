"""`postmerge stripe play`: a newcomer gets from nothing to the first paying subscriber without a network."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from mailer.fakes.play_stripe import PlayStripe
from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.billing.stripe_setup import apply_setup, plan_setup
from tests import paying as shops
from tests.conftest import ROOT
from tests.integration.billing.test_paid_pages import form_token
from tests.paying import Shop
from tests.web import served


@pytest.fixture
def ports() -> tuple[int, int]:
    return find_free_port(), find_free_port()


@pytest.fixture
def shop(database: Database, tmp_path: Path, ports: tuple[int, int]) -> Iterator[Shop]:
    api = f"http://127.0.0.1:{ports[0]}"
    fake = PlayStripe(ports[1], f"{api}/webhooks/stripe")
    fake.url = f"http://127.0.0.1:{ports[1]}"
    settings = replace(
        shops.settings(tmp_path, database, fake), plans=ROOT / "docs" / "plans.example.toml", api_url=api, site_url=api
    )
    stopping = threading.Event()
    playing = threading.Thread(target=fake.serve, args=(stopping, lambda text: None), daemon=True)
    playing.start()
    shop = Shop(settings, database, fake)
    with served(shop.client.app, ports[0]):
        yield shop
        stopping.set()
    playing.join(10)


def test_from_nothing_to_the_first_paying_subscriber(shop: Shop) -> None:
    apply_setup(shop.database, shop.settings, plan_setup(shop.database, shop.settings))
    answer = shop.client.post("/join", data={"plan": "yearly", "token": form_token(shop)})
    address = answer.headers["location"]
    assert address.startswith(f"{shop.fake.url}/checkout/")
    assert shop.fake.url in shop.client.get("/join").headers["content-security-policy"]
    with urllib.request.urlopen(address, timeout=10) as page:
        assert "Pay with play money" in page.read().decode()
    paid = urllib.parse.urlencode({"email": "ada@example.org"}).encode()
    with urllib.request.urlopen(urllib.request.Request(address, paid, method="POST"), timeout=10) as page:
        assert page.url == f"{shop.settings.api_url}/join/thanks"
    for _ in range(100):
        shop.work()
        if shop.entitlement().state is EntitlementState.PAYING:
            break
        time.sleep(0.1)
    assert shop.entitlement().state is EntitlementState.PAYING
    with urllib.request.urlopen(address, timeout=10) as page:
        assert "paid for already" in page.read().decode()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{shop.fake.url}/checkout/nothing", timeout=10)
