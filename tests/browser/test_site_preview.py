"""A preview in a browser: it looks like the site, and nothing in it runs or sends anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from mailer.core.db import Database
from mailer.exchange.site_preview import pack_preview
from mailer.flows.publishing import site_previews
from tests import web
from tests.web import Web

SCRIPT = "document.title = 'it ran'; fetch('/subscribe/token').then(() => { document.title = 'it asked'; })"
PAGE = f"""<!DOCTYPE html><html><head><title>quiet</title><link rel="stylesheet" href="a.css"><script>{SCRIPT}</script></head>
<body onload="{SCRIPT}"><h1>Front</h1><a href="issue/">Issue</a><a id="bad" href="javascript:{SCRIPT}">x</a>
<form method="post" action="/subscribe"><input name="email" value="ada@example.org"><button>Subscribe</button></form>
<iframe src="/subscribe"></iframe><img src="a.svg" alt=""><svg onload="{SCRIPT}"></svg></body></html>"""
FILES = {
    "site/index.html": PAGE,
    "site/issue/index.html": "<h1>Issue</h1>",
    "site/a.css": "h1 { color: rgb(1, 2, 3) }",
    "site/a.svg": f'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><script>{SCRIPT}</script></svg>',
}


@pytest.fixture
def address(database: Database, tmp_path: Path) -> Iterator[tuple[Web, str]]:
    newsletter = web.make(tmp_path, database)
    made = site_previews.store_preview(newsletter.settings, "x", pack_preview({k: v.encode() for k, v in FILES.items()}))
    with web.served(newsletter.app()) as url:
        yield newsletter, made.url.replace(newsletter.settings.api_url, url)


def test_a_preview_has_its_style_and_links_and_neither_scripts_nor_forms(address: tuple[Web, str], browser: Browser) -> None:
    newsletter, url = address
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    expect(page.locator("h1")).to_have_css("color", "rgb(1, 2, 3)")
    assert page.locator("img").evaluate("image => image.naturalWidth") == 7
    page.get_by_role("button").click()
    page.locator("#bad").click()
    page.get_by_role("link", name="Issue").click()
    expect(page.locator("h1")).to_have_text("Issue")
    page.goto(f"{url}a.svg")
    page.goto(url)
    assert page.title() == "quiet"
    assert [one for one in asked if "/subscribe" in one] == []
    assert newsletter.counted("subscribers") == 0
    page.close()
