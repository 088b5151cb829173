"""Each promise to a paying subscriber, kept in a real browser: how many presses it takes, what is shown, what is charged."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from api.app import create_app
from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.fakes import fake_stripe_routes
from mailer.fakes.fake_stripe import FakeStripe
from mailer.fakes.fake_stripe_books import MONTH
from mailer.fakes.free_ports import find_free_port
from mailer.flows.billing import subscription_changes
from mailer.flows.billing.entitlements import EntitlementState
from mailer.store.billing import gifts
from tests import paying, web
from tests.browser.test_site import overflow
from tests.conftest import ROOT
from tests.integration.billing.test_paid_pages import published
from tests.integration.sending.test_variants import edition
from tests.paying import Shop


@contextlib.contextmanager
def served(shop: Shop, port: int) -> Iterator[str]:
    app = create_app(
        settings=shop.settings, database=shop.database, site_folder=shop.settings.site_folder, outbox=None,
        wake_transactional=lambda: True, site_name="The Letter",
    )  # fmt: skip
    with web.served(app, port) as url:
        yield url


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Iterator[Shop]:
    shutil.copy(ROOT / "docs" / "plans.example.toml", tmp_path / "plans.toml")
    port = find_free_port()
    with FakeStripe(int(time.time())) as fake:
        settings = paying.settings(
            tmp_path, database, fake, plans=tmp_path / "plans.toml", api_url=f"http://127.0.0.1:{port}",
            site_url=f"http://127.0.0.1:{port}",
        )  # fmt: skip
        shop = Shop(settings, database, fake)
        product = fake.books.add("product", "prod", active=True)
        for price, plan in ((shop.monthly, "monthly"), (shop.yearly, "yearly")):
            fake.books.get(price).update(lookup_key=f"postmerge_{plan}", product=product["id"])
        with served(shop, port):
            yield shop


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def own(shop: Shop) -> str:
    subscriber = shop.add_subscriber()
    shop.buy()
    shop.hear()
    return paid_link(shop, subscriber)


def paid_link(shop: Shop, subscriber: int) -> str:
    """A new link to the page about payments."""
    token = tokens.paid_token(shop.settings.need_secrets(), shop.recipient(subscriber), datetime.now(UTC))
    return f"{shop.settings.api_url}/paid/{token}"


def paid_to(shop: Shop) -> str:
    return f"{datetime.fromtimestamp(shop.fake.books.now + MONTH, UTC):%-d %B %Y}"


def test_leaving_is_two_presses_without_an_offer_and_shows_the_date(shop: Shop, page: Page) -> None:
    page.goto(own(shop))
    page.get_by_role("link", name="Cancel subscription").click()
    expect(page.get_by_text(paid_to(shop))).to_be_visible()
    page.get_by_role("button", name="Cancel now").click()
    expect(page.get_by_role("status")).to_contain_text("You won’t be charged again")
    expect(page.get_by_text(f"You have full access until {paid_to(shop)}")).to_be_visible()
    assert shop.entitlement().state is EntitlementState.ENDING
    assert shop.subjects()[-1] == "Your cancellation is confirmed"


def test_an_offer_is_shown_only_when_the_writer_set_one_and_only_after_leaving(shop: Shop, page: Page) -> None:
    offer = "If the price was it: write to us."
    plans = shop.settings.plans
    plans.write_text(plans.read_text().replace("[terms]", f'[terms]\noffer_after_leaving = "{offer}"'))
    page.goto(own(shop))
    expect(page.get_by_text(offer)).to_have_count(0)
    page.get_by_role("link", name="Cancel subscription").click()
    expect(page.get_by_text(offer)).to_have_count(0)
    page.get_by_role("button", name="Cancel now").click()
    expect(page.get_by_text(offer)).to_be_visible()
    assert shop.entitlement().state is EntitlementState.ENDING


def test_leaving_can_be_taken_back_with_one_press(shop: Shop, page: Page) -> None:
    page.goto(own(shop))
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("button", name="Cancel now").click()
    page.get_by_role("button", name="Keep my subscription").click()
    expect(page.get_by_role("status")).to_contain_text("continues as before")
    assert shop.entitlement().state is EntitlementState.PAYING


def test_pausing_is_one_press_and_charges_stop(shop: Shop, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_changes, "clock", lambda: datetime.fromtimestamp(shop.fake.books.now, UTC))
    page.goto(own(shop))
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("You won’t be charged")
    charged = len(shop.fake.books.charged)
    with shop.fake.lock:
        shop.fake.books.advance(2 * MONTH)
    assert len(shop.fake.books.charged) == charged
    page.get_by_role("button", name="Resume now").click()
    expect(page.get_by_role("status")).to_contain_text("continues")


def test_withdrawing_has_a_button_a_confirmation_a_refund_and_an_email(shop: Shop, page: Page) -> None:
    page.goto(own(shop))
    page.locator("#content").get_by_role("link", name="Withdraw from contract here").click()
    page.get_by_role("button", name="Confirm withdrawal").click()
    expect(page.get_by_role("main")).to_contain_text("refund €5.00")
    assert sum(amount for _, amount in shop.fake.books.charged) == 0
    assert shop.entitlement().state is EntitlementState.ENDED
    assert shop.subjects()[-1] == "Your withdrawal is confirmed"


def test_joining_is_one_press_to_stripes_page(shop: Shop, page: Page) -> None:
    page.route(
        "https://checkout.stripe.example/**", lambda route: route.fulfill(body="<h1>Stripe</h1>", content_type="text/html")
    )
    page.goto(f"{shop.settings.api_url}/join")
    time.sleep(2.1)
    # The fake's checkout has an address of its own, which the page's policy does not know: Stripe's real one is allowed.
    policy = page.request.get(f"{shop.settings.api_url}/join").headers["content-security-policy"]
    assert "form-action 'self' https://checkout.stripe.com" in policy
    assert page.get_by_role("button", name="Continue to payment").count() == 4
    page.get_by_text("Gift: Every issue, by the year").click()
    assert page.get_by_role("button", name="Continue to payment").count() == 5
    token = page.locator("input[name=token]").first.input_value()
    answer = page.request.post(f"{shop.settings.api_url}/join", form={"plan": "monthly", "token": token}, max_redirects=0)
    assert answer.status == 303
    assert answer.headers["location"].startswith("https://checkout.stripe.example/")


def test_a_gift_is_accepted_with_one_press_and_shows_until_when(shop: Shop, page: Page) -> None:
    subscriber = shop.add_subscriber("eve@example.org")
    with shop.database.transaction() as tx:
        gift = gifts.add(tx, "cs_1", subscriber, "yearly", 12, 5000, "eur")
    to = shop.recipient(subscriber)
    page.goto(f"{shop.settings.api_url}/gift/{tokens.gift_token(shop.settings.need_secrets(), to, gift)}")
    expect(page.get_by_text("You won’t be charged")).to_be_visible()
    assert shop.entitlement("eve@example.org").state is EntitlementState.FREE
    page.get_by_role("button", name="Accept gift").click()
    expect(page.get_by_text("You have full access until")).to_be_visible()
    assert shop.entitlement("eve@example.org").state is EntitlementState.COMPLIMENTARY


def test_private_links_are_made_anew_with_a_press_and_the_old_ones_are_closed(shop: Shop, page: Page) -> None:
    address = own(shop)
    page.goto(address)
    old = page.get_by_role("link", name="Read the full issues on the web").get_attribute("href")
    page.get_by_text("Does someone else have your private links?").click()
    page.get_by_role("button", name="Create new links").click()
    expect(page.get_by_role("main")).to_contain_text("The old ones no longer work")
    page.goto(f"{shop.settings.api_url}{old}")
    expect(page.get_by_role("heading", name="No access")).to_be_visible()
    page.goto(address)
    expect(page.get_by_role("heading", name="This link doesn’t work")).to_be_visible()
    page.goto(paid_link(shop, 1))  # as the email brings it
    page.get_by_role("link", name="Read the full issues on the web").click()
    expect(page.get_by_role("heading", name="Issues for paid subscribers")).to_be_visible()


def test_who_pays_already_is_told_so_and_charged_nothing(shop: Shop, page: Page) -> None:
    token = own(shop).rpartition("/")[2]
    charged = len(shop.fake.books.charged)
    page.goto(f"{shop.settings.api_url}/join?t={token}")
    time.sleep(2.1)
    page.get_by_role("button", name="Continue to payment").first.click()
    expect(page.get_by_role("alert")).to_contain_text("You already have a paid subscription, so we didn’t start another one")
    assert (len(shop.fake.books.charged), shop.fake.books.of("checkout.session")) == (charged, [])


def test_the_writers_break_shows_on_the_subscribers_page_and_charges_nothing(
    shop: Shop, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_changes, "clock", lambda: datetime.fromtimestamp(shop.fake.books.now, UTC))
    address = own(shop)
    assert subscription_changes.change_all(
        shop.database, shop.settings, subscription_changes.pause_subscription, paused=False
    ) == (1, [])
    page.goto(address)
    expect(page.get_by_text("Your subscription is paused.")).to_be_visible()
    charged = len(shop.fake.books.charged)
    with shop.fake.lock:
        shop.fake.books.advance(MONTH)
    assert len(shop.fake.books.charged) == charged
    assert subscription_changes.change_all(
        shop.database, shop.settings, subscription_changes.resume_subscription, paused=True
    ) == (1, [])
    page.goto(address)
    expect(page.get_by_text("You’re a paid subscriber with full access.")).to_be_visible()
    assert len(shop.fake.books.charged) == charged


def test_stripes_newer_pause_is_shown_and_ended_with_one_press(shop: Shop, page: Page) -> None:
    address = own(shop)
    with shop.fake.lock:
        [sub] = shop.fake.books.of("subscription")
        fake_stripe_routes.route(shop.fake.books, "POST", f"/v1/subscriptions/{sub['id']}/pause", {})
    shop.hear()
    page.goto(address)
    expect(page.get_by_text("Your subscription is paused.")).to_be_visible()
    page.get_by_role("button", name="Resume now").click()
    expect(page.get_by_role("status")).to_contain_text("continues")
    assert shop.entitlement().state is EntitlementState.PAYING


def test_a_failed_card_shows_until_when_one_reads_on(shop: Shop, page: Page) -> None:
    address = own(shop)
    with shop.fake.lock:
        [customer] = shop.fake.books.of("customer")
        shop.fake.books.bad_cards.add(customer["id"])
        shop.fake.books.advance(MONTH + 3600)
    shop.hear()
    page.goto(address)
    expect(page.get_by_text("A payment didn’t go through.")).to_be_visible()
    expect(page.get_by_text("You have full access until")).to_be_visible()
    expect(page.get_by_role("button", name="Card and invoices")).to_be_visible()


@pytest.mark.parametrize("path", ["/join", "own"])
def test_the_pages_fit_a_phone(shop: Shop, page: Page, path: str) -> None:
    page.goto(own(shop) if path == "own" else f"{shop.settings.api_url}{path}")
    assert overflow(page) == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_a_full_issue_and_its_receipt_fit_and_look_like_the_site(shop: Shop, page: Page, width: int) -> None:
    wide = '<p><img src="/none.png" width="1200" height="600" alt="Wide"></p><table><tr>' + "<td>a-cell-of-a-table</td>" * 9
    body = f"<p>free</p>{wide}</tr></table><pre>{'print(1)  ' * 40}</pre>"
    issue = replace_paid_text(edition(), body)
    own(shop)
    published(shop, issue)
    to = shop.recipient(1)
    private = f"/read/{tokens.reading_token(shop.settings.need_secrets(), to)}"
    page.set_viewport_size({"width": width, "height": 740})
    for path in (private, f"{private}/{issue.key}", f"/receipts/{issue.digest}"):
        page.goto(f"{shop.settings.api_url}{path}")
        expect(page.locator("h1")).to_be_visible()
        assert overflow(page) == 0, path
    page.goto(f"{shop.settings.api_url}{private}")
    page.get_by_role("link", name=issue.title).click()
    assert page.locator(".body img").evaluate("picture => picture.getBoundingClientRect().width") <= min(width, 672) - 40 + 1
    assert page.locator(".body pre").evaluate("box => getComputedStyle(box).overflowX") == "auto"


def replace_paid_text(issue: Edition, body: str) -> Edition:
    digest = hashlib.sha256(body.encode()).hexdigest()
    return replace(issue, variants=tuple(replace(one, body=body, digest=digest) for one in issue.variants))
