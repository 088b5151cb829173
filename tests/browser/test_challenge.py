"""The small sum in a real browser: with JavaScript a person notices nothing, without it they are told what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from tests import factories, web
from tests.browser.test_forms import ADA


@dataclass(frozen=True)
class Served:
    url: str
    database: Database

    def count_subscribers(self) -> int:
        with self.database.transaction() as tx:
            return int(tx.value("SELECT count(*) FROM subscribers"))


@pytest.fixture
def served(tmp_path: Path, database: Database) -> Iterator[Served]:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    settings = factories.settings(tmp_path, database.url, site_url=url, api_url=url, challenge="work", challenge_bits=16)
    with web.served(web.Web(settings, database).app(), port):
        yield Served(url, database)


# How long the sum takes is a matter of luck, and of what else runs: a minute is left for it.


def test_the_browser_solves_it_while_the_address_is_typed(browser: Browser, served: Served) -> None:
    context = browser.new_context(base_url=served.url)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/subscribe")
    page.get_by_label("Your email address").fill(ADA)
    page.wait_for_timeout(2100)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox", timeout=60_000)
    assert served.count_subscribers() == 1
    assert complaints == []
    page.go_back()
    page.get_by_label("Your email address").fill("bob@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Get the next issue by email", timeout=60_000)
    context.close()


def test_a_press_before_the_sum_is_solved_waits_and_goes_on_by_itself(browser: Browser, served: Served) -> None:
    context = browser.new_context(base_url=served.url)
    page = context.new_page()
    page.goto("/subscribe")
    page.wait_for_timeout(2100)
    page.evaluate("() => { document.getElementById('email').value = 'ada@example.org'; }")
    page.get_by_role("button", name="Subscribe").dispatch_event("click")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox", timeout=60_000)
    assert served.count_subscribers() == 1
    context.close()


def test_without_javascript_the_page_says_what_to_do(browser: Browser, served: Served) -> None:
    context = browser.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/subscribe")
    expect(page.get_by_text("This form needs JavaScript at the moment")).to_be_visible()
    page.get_by_label("Your email address").fill(ADA)
    page.wait_for_timeout(2100)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("without it, write to")
    expect(page.get_by_label("Your email address")).to_have_value(ADA)
    assert served.count_subscribers() == 0
    context.close()
