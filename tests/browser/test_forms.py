"""A newcomer's whole road in a real browser, on real processes: from the first press to the ledger that says who left."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from mailer import editions
from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.core.settings import Settings
from mailer.fakes.free_ports import find_free_port
from mailer.flows.publishing import publish
from mailer.flows.subscribers.signup import add_subscriber
from mailer.flows.subscribers.signup_limits import set_firewall
from mailer.transports.outbox import Outbox, list_emails
from tests import factories, processes
from tests.browser.test_site import MODES, Mode, overflow, too_faint
from tests.conftest import ROOT

ADA = "ada@example.org"


@dataclass(frozen=True)
class Stack:
    """Server, worker and scheduler that run, with a built site and nobody subscribed."""

    url: str
    settings: Settings
    database: Database
    editions: tuple[Edition, ...]

    def publish_newest(self) -> None:
        """Send the newest issue; returns when it is in the outbox."""
        newest = max(self.editions, key=lambda edition: edition.dated)
        request = publish.Request(issue=newest.key, gate=False)
        publish.publish(self.database, self.settings, self.editions, [], Outbox(self.settings.outbox), request)
        processes.eventually(lambda: self.has("issue"), 30, "the issue is in the outbox")

    def has(self, kind: str) -> bool:
        """Is an email of this kind in the outbox?"""
        return any(email.kind == kind for email in list_emails(self.settings.outbox)[0])


@dataclass(frozen=True)
class Built:
    """The sample site, built once for this file; ``port`` is in its links."""

    port: int
    folder: Path
    editions: tuple[Edition, ...]


def site_settings(folder: Path, port: int, database_url: str = "", redis_url: str = "") -> Settings:
    url = f"http://127.0.0.1:{port}"
    return factories.settings(
        folder, database_url, redis_url, site_url=url, api_url=url, config=ROOT / "pelicanconf.py", content=ROOT / "content"
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder, port = tmp_path_factory.mktemp("site"), find_free_port()
    settings = site_settings(folder, port)
    return Built(port, settings.build, tuple(build(settings).editions))


@pytest.fixture
def stack(browser: Browser, built: Built, tmp_path: Path, database: Database, redis_url: str) -> Iterator[Stack]:
    port = built.port
    settings = site_settings(tmp_path, port, database.url, redis_url)
    shutil.copytree(built.folder, settings.build)
    with ExitStack() as running:
        running.enter_context(processes.running("serve", settings, {}, "--port", str(port), "--development"))
        running.enter_context(processes.running("worker", settings, {}))
        running.enter_context(processes.running("scheduler", settings, {}))
        processes.eventually(lambda: answers(port), 60, "the server answers")
        yield Stack(settings.site_url, settings, database, built.editions)


def build(settings: Settings) -> editions.Report:
    return editions.build(editions.BuildOptions.of(settings))


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def follow(context: BrowserContext, page: Page, email_subject: str, link: str) -> Page:
    """Open the newest email with this subject in the outbox and click a link in it; the tab that it opens."""
    page.goto("/outbox")
    page.get_by_role("link", name=email_subject).first.click()
    frame = page.frame_locator("iframe.mail")
    with context.expect_page() as opened:
        frame.get_by_role("link", name=link).first.click()
    opened.value.wait_for_load_state()
    return opened.value


def row_of(page: Page, section: str, email: str) -> str:
    page.goto("/ledger")
    return page.get_by_role("region", name=section).get_by_role("row").filter(has_text=email).inner_text()


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_ledger_records_that_somebody_subscribed_confirmed_read_and_unsubscribed(
    browser: Browser, stack: Stack, script: bool
) -> None:
    context = browser.new_context(java_script_enabled=script, base_url=stack.url)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Your email address").first.fill(ADA)
    page.get_by_role("button", name="Subscribe").first.click()
    expect(page.get_by_role("main")).to_contain_text("Check your inbox")
    processes.eventually(lambda: stack.has("confirmation"), 30, "the confirmation email is in the outbox")

    confirming = follow(context, page, "Confirm your subscription", "Confirm subscription")
    assert "unconfirmed" in row_of(page, "Subscribers", ADA)
    confirming.get_by_role("button", name="Confirm subscription").click()
    expect(confirming.get_by_role("heading", level=1)).to_have_text("Your subscription is confirmed")
    assert "active" in row_of(page, "Subscribers", ADA)

    stack.publish_newest()
    assert "accepted" in row_of(page, "Deliveries", ADA)
    leaving = follow(context, page, "The answer that never came", "Unsubscribe")
    assert "active" in row_of(page, "Deliveries", ADA)
    leaving.get_by_role("button", name="Unsubscribe").click()
    expect(leaving.get_by_role("heading", level=1)).to_have_text("You’ve unsubscribed")
    assert "unsubscribed" in row_of(page, "Deliveries", ADA)
    assert "unsubscribed" in row_of(page, "Subscribers", ADA)
    assert context.cookies() == []
    context.close()


def test_the_one_click_button_in_the_viewer_unsubscribes(browser: Browser, stack: Stack) -> None:
    add_subscriber(stack.database, stack.settings, ADA, [], confirmed=True)
    stack.publish_newest()
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    page.goto("/outbox")
    page.get_by_role("link", name="The answer that never came").click()
    with context.expect_page() as opened:
        page.get_by_role("button", name="Unsubscribe with one click").click()
    expect(opened.value.get_by_text("You’ve unsubscribed.")).to_be_visible()
    assert "unsubscribed" in row_of(page, "Subscribers", ADA)
    context.close()


def test_the_form_works_with_the_keyboard_alone(browser: Browser, stack: Stack) -> None:
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    page.goto("/subscribe")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.get_by_label("Your email address").focus()
    page.keyboard.type(ADA)
    time.sleep(2.1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
    context.close()


@pytest.fixture
def our_pages(stack: Stack) -> list[str]:
    """Every kind of page of ours."""
    add_subscriber(
        stack.database, stack.settings, "a-long-name-that-somebody-has." * 2 + "x@example.org", ["python"], confirmed=True
    )
    stack.publish_newest()
    secret = stack.settings.need_secrets()
    to = factories.recipient(stack.database, 1)
    [email] = list_emails(stack.settings.outbox)[0]
    return [
        "/subscribe?tag=python",
        f"/confirm/{tokens.confirm_token(secret, to, 1, datetime.now(UTC))}",
        f"/leave/{tokens.unsubscribe_token(secret, to, 1)}",
        "/leave/forged",
        "/outbox",
        *(f"/outbox/{email.id}?show={show}" for show in ("desktop", "phone", "text", "headers")),
        "/ledger",
    ]


def test_every_page_of_ours_fits_and_stands_out_and_axe_finds_nothing(
    browser: Browser, stack: Stack, our_pages: list[str]
) -> None:
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    for mode, width in ((MODES[0], 360), (MODES[1], 360), (MODES[0], 1280)):
        context = browser.new_context(base_url=stack.url, color_scheme=mode, viewport={"width": width, "height": 800})
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if "Security" in message.text else None)  # noqa: B023
        for path in our_pages:
            page.goto(path)
            judge(page, path, mode, axe)
        page.goto("/subscribe")
        page.get_by_label("Your email address").fill(ADA)
        set_firewall(stack.database, up=True)
        page.get_by_role("button", name="Subscribe").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("One more click")
        judge(page, "once more", mode, axe)
        set_firewall(stack.database, up=False)
        time.sleep(2.1)
        page.get_by_role("button", name="Subscribe").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
        judge(page, "inbox", mode, axe)
        assert complaints == []
        context.close()


def judge(page: Page, path: str, mode: Mode, axe: str) -> None:
    where = f"{path} {mode}"
    assert overflow(page) <= 0, where
    assert too_faint(page, "h1, p, a:not(.skip), button, label, td, th, dt, dd, pre") == [], where
    page.evaluate(axe)
    violations = page.evaluate("axe.run(document, {iframes: false}).then(found => found.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == [], where
