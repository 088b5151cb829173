"""The subscriber's page without JavaScript in a real browser: by keyboard alone, as a screen reader hears it, at any width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.fakes.free_ports import find_free_port
from mailer.flows.subscribers.signup import add_subscriber
from tests import factories, web
from tests.browser.test_forms import ADA, judge
from tests.browser.test_site import MODES


@dataclass(frozen=True)
class Served:
    """A server with one subscriber."""

    url: str
    settings: Settings
    database: Database

    def page(self) -> str:
        to = factories.recipient(self.database, 1)
        return f"/reader/{tokens.page_token(self.settings.need_secrets(), to, datetime.now(UTC))}"

    def mailed(self) -> str:
        return f"/reader/{tokens.unsubscribe_token(self.settings.need_secrets(), factories.recipient(self.database, 1), 1)}"


@pytest.fixture
def served(tmp_path: Path, database: Database) -> Iterator[Served]:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    settings = factories.settings(tmp_path, database.url, site_url=url, api_url=url, topics=("python", "mail"))
    add_subscriber(database, settings, ADA, ["python"], confirmed=True)
    with web.served(web.Web(settings, database).app(), port):
        yield Served(url, settings, database)


def open_page(browser: Browser, served: Served, path: str) -> Page:
    context = browser.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(path)
    return page


def test_everything_works_without_javascript_by_what_a_screen_reader_says(browser: Browser, served: Served) -> None:
    page = open_page(browser, served, served.mailed())
    expect(page.get_by_role("group", name="How often")).to_be_visible()
    page.get_by_role("radio", name="One email a month, with links to all issues").check()
    page.get_by_role("group", name="Topics").get_by_role("checkbox", name="mail").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved.")
    page.get_by_role("combobox", name="For how many months").select_option("2")
    page.get_by_role("region", name="Pause").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("Paused until")
    page.get_by_role("button", name="Resume now").click()
    expect(page.get_by_role("status")).to_contain_text("Your pause is over")
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("status")).to_contain_text("You’ve unsubscribed")
    page.goto(served.page())
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my data").click()
    assert download.value.suggested_filename == "what-is-kept-about-me.json"
    page.get_by_role("button", name="Delete all my data").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Deleted")
    page.context.close()


def test_the_keyboard_alone_reaches_and_presses_every_button(browser: Browser, served: Served) -> None:
    page = open_page(browser, served, served.page())
    wanted = page.get_by_role("button").all_inner_texts()
    assert len(wanted) == 6
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator("button:focus")
        if focused.count():
            reached.append(focused.inner_text())
            outline = page.locator("button:focus-visible")
            assert outline.count() == 1
    assert set(reached) == set(wanted)
    page.get_by_role("radio", name="Every issue, as soon as it’s published").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="One email a month, with links to all issues")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Saved.")
    page.context.close()


def test_it_fits_stands_out_and_axe_finds_nothing_in_any_language(browser: Browser, served: Served) -> None:
    from importlib import resources

    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    for mode, width, lang in ((MODES[0], 320, "de"), (MODES[1], 360, "fr"), (MODES[0], 1280, "en"), (MODES[1], 1280, "zh")):
        context = browser.new_context(
            base_url=served.url, color_scheme=mode, viewport={"width": width, "height": 800}, locale=lang
        )
        page = context.new_page()
        for path in (served.page(), served.mailed(), "/reader", "/reader/forged", "/address/forged", "/subscribe"):
            page.goto(path)
            judge(page, f"{path} {lang}", mode, axe)
        context.close()


def test_the_sites_choice_of_light_or_dark_holds_on_the_pages_of_forms(browser: Browser, served: Served) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    served.settings.site_folder.mkdir(parents=True)
    button = '<button class="mode" data-dark="Dark" data-light="Light" hidden>Dark</button>'
    header, footer = f'<header class="masthead">{button}</header>', '<footer class="foot"></footer>'
    (served.settings.site_folder / "404.html").write_text(f"<html><body>{header}{footer}", encoding="utf-8")
    context = browser.new_context(base_url=served.url, color_scheme="light")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto("/subscribe")
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    for path in (served.page(), served.mailed(), "/reader", "/leave/forged", "/docs"):
        page.goto(path)
        assert page.evaluate(ground) == dark, path
    page.get_by_role("button", name="Authorize").first.wait_for()
    page.goto("/subscribe")
    page.get_by_role("button", name="Light").click()
    page.goto("/reader")
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == light
    page.evaluate("localStorage.clear()")
    page.reload()
    assert page.evaluate(ground) == dark
    assert [text for text in complaints if "Content Security Policy" in text] == []
    context.close()
