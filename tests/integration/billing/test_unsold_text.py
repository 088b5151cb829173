"""Paid text where nothing is sold: it is refused before a send, and no page denies what an email has promised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mailer.commands import cli_output
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.billing import checkout
from mailer.flows.billing.checkout import CheckoutOrder
from mailer.flows.publishing.publish import Request, adopt_issues, preview_publish, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.store.billing import entitlement_records
from mailer.transports.outbox import Outbox
from tests import factories
from tests.integration.billing.test_paid_pages import shop as shop
from tests.integration.sending.test_variants import edition
from tests.paying import Shop


def test_paid_text_without_a_way_to_pay_is_refused(database: Database, tmp_path: Path) -> None:
    settings = factories.settings(tmp_path, database.url)
    outbox, found = Outbox(settings.outbox), [factories.old(), edition()]
    adopt_issues(database, settings, [factories.old()])
    factories.add_subscribers(database, 3)
    with database.transaction() as tx:
        entitlement_records.save(tx, 1, "complimentary", True, None)
    [refusal] = preview_publish(database, settings, found, [], outbox, Request()).refusals
    assert refusal.sentence.endswith(
        " has paid text, and nobody can pay for it here: write plans.toml and set STRIPE_SECRET_KEY, or"
        " publish with `--allow unsold`."
    )
    assert not preview_publish(database, settings, found, [], outbox, Request(allow=("unsold",))).refusals
    factories.bind_stripe(database)  # the server sells, only this machine has no key
    assert not preview_publish(database, settings, found, [], outbox, Request()).refusals


def test_plan_says_when_no_recipient_is_a_paid_subscriber(database: Database, tmp_path: Path) -> None:
    settings, screen = factories.settings(tmp_path, database.url), Console(width=200, record=True)
    adopt_issues(database, settings, [factories.old()])
    factories.add_subscribers(database, 3)
    found = [factories.old(), edition()]
    cli_output.plan(
        screen, preview_publish(database, settings, found, [], Outbox(settings.outbox), Request()), everything=False
    )
    assert "3 subscribers (free 3, paid 0)" in screen.export_text()


def test_join_denies_no_paid_text_that_an_email_promised(shop: Shop) -> None:
    settings = replace(shop.settings, stripe_key="")
    shop.add_subscriber()
    unsold = Shop(settings, shop.database, shop.fake)
    adopt_issues(shop.database, settings, [factories.old()])
    outbox = Outbox(settings.outbox)
    [send] = publish(shop.database, settings, [factories.old(), edition()], [], outbox, Request()).send_ids
    advance_sends(shop.database, settings)
    deliver_send(shop.database, settings, outbox, send)
    page = unsold.client.get("/join").text
    assert "Paid subscriptions aren’t available right now." in page
    assert "Every issue is free" not in page
    with pytest.raises(BadInput, match="aren’t available right now"):
        checkout.start_checkout(shop.database, settings, CheckoutOrder("monthly", "form"))
