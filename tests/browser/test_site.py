from __future__ import annotations

import functools
import hashlib
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from pygments.token import STANDARD_TYPES

from mailer import editions
from mailer.core.edition import Edition
from tests.conftest import ROOT

Mode = Literal["light", "dark"]
MODES: tuple[Mode, ...] = ("light", "dark")
WIDTHS = (320, 360, 1280)
NEWEST = "issues/2026-11-24-the-answer-that-never-came/"
PAGES = ("", NEWEST, "archive/", "tags/", "tags/delivery/", "about/", "privacy/", "accessibility/", "404.html", "search/")
AA = 4.5  # WCAG 2.2, 1.4.3

ISSUES = {
    "ar": "Title: رسالة من القاهرة\nDate: 2026-11-20\nLang: ar\n\nنص *عربي* مع [رابط](/about/) و`code`.\n\n- واحد\n- اثنان\n",
    "ja": "Title: 東京からの手紙\nDate: 2026-11-21\nLang: ja\n\n" + "吾輩は猫である。名前はまだ無い。" * 20 + "\n",
    "wide": "Title: " + "Donaudampfschiff" * 8 + "\nDate: 2026-11-22\nTags: python\n\n"
    + "| " + " | ".join(f"column-{n}" for n in range(20)) + " |\n" + "|---" * 20 + "|\n" + "| `value` " * 20 + "|\n\n"
    + ":::note\nTo be read.\n:::\n\n:::button\n[Read on](https://example.org/)\n:::\n\n"
    + "```python\n" + "print('a long line')  " * 20 + "\n```\n\n<https://example.org/" + "a" * 200 + ">\n",
}  # fmt: skip

CONTRASTS = """selector => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const light = rgb => rgb.slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = element => {
        for (; element; element = element.parentElement) {
            const colour = parse(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll(selector)].filter(e => e.textContent.trim()).map(element => {
        const pair = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
        return [(pair[0] + 0.05) / (pair[1] + 0.05), `${element.tagName}.${element.className}`];
    });
}"""


@dataclass(frozen=True)
class Site:
    """A built site that is being served, and its editions (oldest first)."""

    url: str
    folder: Path
    editions: tuple[Edition, ...]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def served(
    content: Path, build: Path, clean: bool = True, api_url: str = "", config: Path = ROOT / "pelicanconf.py"
) -> Iterator[Site]:
    """Build and serve until the test is done with it."""
    folder = build / "site"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    report = editions.build(
        editions.BuildOptions(
            content=content,
            site=folder,
            editions=build / "editions",
            cache=build / "cache",
            config=config,
            site_url=url,
            api_url=api_url,
            postal_address="1 Example Street",
        )
    )
    assert not (clean and report.findings)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield Site(url, folder, report.editions)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from served(ROOT / "content", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def odd_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Arabic, Japanese, and things that are too wide."""
    content = tmp_path_factory.mktemp("odd") / "content"
    shutil.copytree(ROOT / "content" / "pages", content / "pages")
    (content / "issues").mkdir()
    for name, text in ISSUES.items():
        (content / "issues" / f"{name}.md").write_text(text, encoding="utf-8")
    yield from served(content, tmp_path_factory.mktemp("odd-site"))


def opened(browser: Browser, url: str, mode: Mode = "light", width: int = 1280, script: bool = True) -> Page:
    context = browser.new_context(color_scheme=mode, viewport={"width": width, "height": 800}, java_script_enabled=script)
    page = context.new_page()
    page.goto(url)
    return page


def overflow(page: Page) -> int:
    """CSS pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def too_faint(page: Page, selector: str) -> list[tuple[float, str]]:
    """Elements below AA; fails when the selector finds nothing."""
    found: list[tuple[float, str]] = page.evaluate(CONTRASTS, selector)
    assert found, f"nothing is {selector}"
    return [pair for pair in found if pair[0] < AA]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(browser: Browser, site: Site, width: int, mode: Mode) -> None:
    page = opened(browser, site.url, mode, width)
    for path in [*PAGES, *(edition.url.removeprefix(f"{site.url}/") for edition in site.editions)]:
        page.goto(f"{site.url}/{path}")
        assert overflow(page) <= 0, path
    page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_wide_tables_and_long_words_stay_within_the_page(browser: Browser, odd_site: Site, width: int) -> None:
    page = opened(browser, odd_site.url, width=width)
    for path in ("", "archive/", "tags/python/", "issues/ar/", "issues/ja/", "issues/wide/"):
        page.goto(f"{odd_site.url}/{path}")
        assert overflow(page) <= 0, path
    table = page.locator(".body table")
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    expect(table).to_have_attribute("tabindex", "0")
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "selector", [".body p", ".body a", ".body code", ".body td", ".body blockquote p", ".kicker", ".note", ".foot a", "button"]
)
def test_text_stands_out_in_both_modes(browser: Browser, site: Site, mode: Mode, selector: str) -> None:
    page = opened(browser, f"{site.url}/{NEWEST}", mode)
    assert too_faint(page, selector) == []
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
def test_every_code_token_stands_out_in_both_modes(browser: Browser, site: Site, mode: Mode) -> None:
    page = opened(browser, site.url, mode)
    tokens = "".join(f'<span class="{name}">{name}</span> ' for name in STANDARD_TYPES.values() if name)
    page.locator("main").evaluate(
        "(main, html) => { main.innerHTML = html }", f'<div class="body highlight"><pre>{tokens}</pre></div>'
    )
    assert too_faint(page, ".highlight span") == []
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_wrong(browser: Browser, site: Site, path: str, mode: Mode) -> None:
    page = opened(browser, f"{site.url}/{path}", mode)
    page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))"
        )  # the page reacts to its new width
        violations = page.evaluate("axe.run().then(found => found.violations)")
        assert [(width, one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
    page.context.close()


def test_a_page_reads_without_javascript(browser: Browser, site: Site) -> None:
    page = opened(browser, f"{site.url}/{NEWEST}", script=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("The answer that never came")
    expect(page.get_by_text("Most programs that send email keep two boxes")).to_be_visible()
    expect(page.get_by_label("Your email address")).to_be_editable()
    expect(page.locator("form")).to_have_attribute("action", f"{site.url}/subscribe")
    expect(page.locator("form")).to_have_attribute("method", "post")
    expect(page.locator("button.mode")).to_be_hidden()
    page.context.close()


def test_the_archive_is_searched_in_the_browser(browser: Browser, odd_site: Site, site: Site) -> None:
    page = opened(browser, f"{site.url}/search/")
    page.get_by_label("Search for").fill("uncertain")
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"Issues found: \d+"))
    expect(page.locator(".results a", has_text="The answer that never came")).to_have_attribute("href", f"/{NEWEST}")
    expect(page.locator(".results mark").first).to_have_text(re.compile("uncertain", re.IGNORECASE))
    expect(page.locator(".results li", has_text="The answer that never came").locator("time")).to_have_text("24 November 2026")
    page.get_by_label("Search for").fill("zebracorn")
    expect(page.get_by_role("status")).to_have_text("No results for “zebracorn”.")
    page.goto(f"{odd_site.url}/search/?q=吾輩")
    expect(page.locator(".results a")).to_have_text("東京からの手紙")
    page.context.close()


def test_issues_of_several_years_are_found_by_one_search(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "content" / "issues").mkdir(parents=True)
    for year in (2019, 2022, 2026):
        text = f"Title: Of {year}\nDate: {year}-05-05\n\nAn armadillo in {year}.\n"
        (tmp_path / "content" / "issues" / f"i{year}.md").write_text(text)
    for site in served(tmp_path / "content", tmp_path / "build"):
        page = opened(browser, f"{site.url}/search/?q=armadillo")
        expect(page.get_by_role("status")).to_have_text("Issues found: 3")
        assert set(page.locator(".results a").all_text_contents()) == {"Of 2019", "Of 2022", "Of 2026"}
        page.context.close()


def test_without_javascript_the_search_page_leads_to_the_archive(browser: Browser, site: Site) -> None:
    page = opened(browser, f"{site.url}/search/", script=False)
    expect(page.get_by_text("Search needs JavaScript")).to_be_visible()
    expect(page.get_by_role("search")).to_be_hidden()
    page.locator("main").get_by_role("link", name="archive").click()
    page.wait_for_url(f"{site.url}/archive/")
    page.context.close()


def test_the_first_tab_leads_past_the_navigation(browser: Browser, site: Site) -> None:
    page = opened(browser, f"{site.url}/{NEWEST}")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.context.close()


def test_the_trap_for_robots_is_out_of_sight_and_out_of_the_tab_order(browser: Browser, site: Site) -> None:
    page = opened(browser, f"{site.url}/about/")
    trap = page.locator("input[name=website]")
    expect(trap).not_to_be_in_viewport()
    expect(trap).to_have_attribute("tabindex", "-1")
    expect(page.get_by_role("textbox", name="Leave this empty")).to_have_count(0)
    page.context.close()


def test_a_topic_page_subscribes_to_its_topic(browser: Browser, site: Site) -> None:
    page = opened(browser, f"{site.url}/tags/delivery/")
    expect(page.locator("form input[name=tag]")).to_have_value("delivery")
    page.context.close()


def test_dark_can_be_chosen_and_is_remembered(browser: Browser, site: Site) -> None:
    page = opened(browser, site.url, "light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name=re.compile("dark", re.IGNORECASE)).click()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto(f"{site.url}/archive/")
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name=re.compile("light", re.IGNORECASE)).click()
    assert page.evaluate(ground) == light
    page.context.close()


def test_a_page_fetches_nothing_from_elsewhere(browser: Browser, site: Site) -> None:
    page = opened(browser, "about:blank")
    asked: list[str] = []
    missing: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    for path in PAGES:
        page.goto(f"{site.url}/{path}")
    assert len(asked) > len(PAGES)
    assert [url for url in asked if not url.startswith(f"{site.url}/")] == []
    assert missing == []
    page.context.close()


def test_links_within_the_site_lead_somewhere(browser: Browser, site: Site) -> None:
    page = opened(browser, site.url)
    found: set[str] = set()
    for path in [*PAGES, *(edition.url.removeprefix(f"{site.url}/") for edition in site.editions)]:
        page.goto(f"{site.url}/{path}")
        found |= set(page.eval_on_selector_all("a[href], link[href]", "links => links.map(link => link.href.split('#')[0])"))
    inside = {url for url in found if url.startswith(site.url) and not url.endswith("/404.html")}
    inside = {url for url in inside if not url.startswith(f"{site.url}/receipts/")}  # which the server has, not the site
    assert len(inside) > 15
    assert [url for url in sorted(inside) if not page.request.get(url).ok] == []
    page.context.close()


def test_a_page_carries_the_body_of_the_email_byte_for_byte(site: Site) -> None:
    for edition in site.editions:
        page = (site.folder / "issues" / edition.key / "index.html").read_bytes()
        match = re.search(rb'data-digest="(\w{64})">(.*?)</div>\n<footer', page, re.DOTALL)
        assert match, edition.key
        assert match[2].decode() == edition.body
        assert match[1].decode() == hashlib.sha256(match[2]).hexdigest() == edition.digest
        assert f'name="postmerge-digest" content="{edition.digest}"'.encode() in page


VAGUE = """Title: Where to
Date: 2026-11-23

Read it [here](https://www.example.org/a), [this]({filename}wide.md), [*More* …](/about/), [here][far] or [the list](/archive/).

[far]: mailto:ada@example.org
"""


def test_a_link_called_here_is_heard_with_the_place_it_leads_to(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "content" / "issues").mkdir(parents=True)
    for name, text in {**ISSUES, "where": VAGUE, "wo": VAGUE.replace("Date:", "Lang: de\nDate:")}.items():
        (tmp_path / "content" / "issues" / f"{name}.md").write_text(text, encoding="utf-8")
    for site in served(tmp_path / "content", tmp_path / "build", clean=False):
        page = opened(browser, f"{site.url}/issues/where/")
        heard = [
            page.locator(".body").get_by_role("link", name=name, exact=True)
            for name in ("here (example.org)", "this (wide)", "More … (about)", "here (ada@example.org)", "the list")
        ]
        for link in heard:
            expect(link).to_have_count(1)
        box = page.locator(".body .heard").first.bounding_box()
        assert box
        assert box["width"] * box["height"] <= 1, "it is not seen"
        page.goto(f"{site.url}/issues/wo/")
        expect(page.locator(".body .heard")).to_have_count(0)  # in German these words would be names
        page.context.close()
        page = opened(browser, f"{site.url}/issues/where/", script=False)
        expect(page.locator(".body p")).to_have_text("Read it here, this, More …, here or the list.")
        page.context.close()


def test_neighbours_are_linked_in_order(browser: Browser, site: Site) -> None:
    page = opened(browser, site.editions[-1].url)
    for edition in reversed(site.editions[:-1]):
        page.locator("a[rel=prev]").click()
        page.wait_for_url(edition.url)
    expect(page.locator("a[rel=prev]")).to_have_count(0)
    page.context.close()


def test_a_page_has_the_language_and_the_direction_of_its_issue(browser: Browser, odd_site: Site) -> None:
    page = opened(browser, f"{odd_site.url}/issues/ar/")
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["ar", "rtl"]
    place = "element => element.getBoundingClientRect()"
    item, box = page.locator(".body li").first.evaluate(place), page.locator(".body").evaluate(place)
    assert item["right"] < box["right"] - 10, "a list is indented from the right"
    expect(page.locator(".masthead")).to_have_attribute("dir", "ltr")
    page.goto(f"{odd_site.url}/issues/ja/")
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["ja", "ltr"]
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [320, 700])
def test_the_email_is_legible_in_both_modes(browser: Browser, site: Site, mode: Mode, width: int) -> None:
    page = opened(browser, "about:blank", mode, width)
    for edition in site.editions:
        page.set_content(edition.html)
        assert overflow(page) <= 0, edition.key
        assert too_faint(page, ".text :is(p, li, td, th, a, code, span), .small, .small a") == [], edition.key
    page.context.close()


@pytest.mark.parametrize("language", ["ar", "ja", "wide"])
def test_the_email_keeps_its_width_and_its_direction(browser: Browser, odd_site: Site, language: str) -> None:
    edition = next(edition for edition in odd_site.editions if edition.key == language)
    page = opened(browser, "about:blank", width=360)
    page.set_content(edition.html)
    assert overflow(page) <= 0
    assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
    page.context.close()


def test_the_sample_emails_are_not_clipped_by_gmail(site: Site) -> None:
    assert {edition.key: len(edition.html.encode()) for edition in site.editions if len(edition.html.encode()) > 100_000} == {}


def test_the_text_of_a_box_is_as_large_as_the_rest(browser: Browser, odd_site: Site) -> None:
    page = opened(browser, f"{odd_site.url}/issues/wide/")
    sizes = "e => getComputedStyle(e).fontSize + getComputedStyle(e).color"
    assert page.locator(".admonition.note p:last-child").evaluate(sizes) == page.locator(".body").evaluate(sizes)
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
def test_on_paper_nothing_is_lost(browser: Browser, odd_site: Site, mode: Mode) -> None:
    page = opened(browser, f"{odd_site.url}/issues/wide/", mode, 700)
    page.emulate_media(media="print")
    cut = "[...document.querySelectorAll('.body table, .body pre')].map(e => e.scrollWidth - e.clientWidth)"
    assert max(page.evaluate(cut)) <= 0
    assert overflow(page) <= 0
    button = page.locator("a.button").evaluate("e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]")
    assert button == ["rgb(0, 0, 0)", "rgba(0, 0, 0, 0)"]
    page.context.close()
