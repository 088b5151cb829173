"""What every page has: typefaces that come along and move nothing, a header of one line, a menu, and little weight."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from mailer.editions.site.articles import count_minutes
from tests.browser.test_site import NEWEST, Site, served
from tests.conftest import ROOT

MAX_PAGE_BYTES = 60 * 1024  # an issue without pictures and typefaces
MAX_ISSUE_BYTES = 160 * 1024  # the same with typefaces

SHIFTS = """new Promise(done => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(entry => { sum += entry.value; }))
        .observe({type: "layout-shift", buffered: true});
    requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})"""


@pytest.fixture(scope="module", params=["en", "de", "es", "fr", "zh"])
def paid_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The sample as a newsletter that sells, in this language."""
    folder = tmp_path_factory.mktemp(f"paid-{request.param}")
    (folder / "pelicanconf.py").write_text(
        (ROOT / "pelicanconf.py").read_text(encoding="utf-8").replace(
            "HERE = Path(__file__).resolve().parent", f"HERE = Path({str(ROOT)!r})"
        )
        + f'DEFAULT_LANG = "{request.param}"\nPOSTMERGE_JOIN = True\nPOSTMERGE_CARDS = POSTMERGE_SEARCH = False\n',
        encoding="utf-8",
    )  # fmt: skip
    yield from served(ROOT / "content", folder / "build", clean=False, config=folder / "pelicanconf.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from served(ROOT / "content", tmp_path_factory.mktemp("site"))


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_header_is_one_line_where_something_is_sold(browser: Browser, paid_site: Site, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(paid_site.url)
    assert page.locator(".masthead").evaluate("header => header.getBoundingClientRect().height") < 80
    shown = page.locator(".masthead :is(a, button)").all()
    middles = {round(box["y"] + box["height"] / 2) for one in shown if (box := one.bounding_box())}
    assert max(middles) - min(middles) <= 4
    page.close()


def test_the_menu_of_a_phone_opens_without_javascript_and_by_keyboard(phone: Page, site: Site) -> None:
    phone.goto(site.url)
    archive = phone.get_by_role("navigation", name="Main menu").get_by_role("link", name="Archive")
    expect(archive).to_be_hidden()
    phone.get_by_role("button", name="Menu").focus()
    phone.keyboard.press("Enter")
    expect(archive).to_be_visible()
    phone.keyboard.press("Escape")
    expect(archive).to_be_hidden()
    phone.get_by_role("button", name="Menu").click()
    archive.click()
    phone.wait_for_url(f"{site.url}/archive/")


def test_axe_finds_nothing_in_the_open_menu(browser: Browser, site: Site) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(site.url)
    page.get_by_role("button", name="Menu").click()
    page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run().then(found => found.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
    page.close()


def test_an_issue_is_light_and_brings_its_typefaces(browser: Browser, site: Site) -> None:
    page, sizes = browser.new_page(viewport={"width": 390, "height": 844}), {}

    def weigh(answer: Response) -> None:
        sizes[answer.url] = len(answer.body())

    page.on("response", weigh)
    page.goto(f"{site.url}/{NEWEST}", wait_until="networkidle")
    faces = page.evaluate("[...document.fonts].filter(face => face.status === 'loaded').map(face => face.family)")
    assert {"Literata", "Public Sans"} <= {face.strip('"') for face in faces}
    pictures = (".png", ".jpg", ".webp", ".avif", ".svg")
    fonts = sum(size for url, size in sizes.items() if url.endswith(".woff2"))
    rest = sum(size for url, size in sizes.items() if not url.endswith((".woff2", *pictures)))
    assert fonts > 0
    assert rest < MAX_PAGE_BYTES
    assert rest + fonts < MAX_ISSUE_BYTES
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_when_the_typefaces_arrive(browser: Browser, site: Site, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})

    def come_late(route: Route) -> None:
        page.wait_for_timeout(150)
        route.continue_()

    page.route("**/*.woff2", come_late)
    for path in ("", NEWEST, "archive/", "search/", "404.html"):
        page.goto(f"{site.url}/{path}", wait_until="networkidle")
        page.evaluate("document.fonts.ready")
        assert page.evaluate(SHIFTS) == 0, path
    page.close()


def test_every_typeface_has_its_licence_beside_it() -> None:
    fonts = ROOT / "theme" / "static" / "fonts"
    names = {path.stem.split("-ext")[0].removesuffix("-italic") for path in fonts.glob("*.woff2")}
    licence = (fonts / "OFL.txt").read_text(encoding="utf-8").lower()
    assert names == {"literata", "public-sans"}
    assert all(name.replace("-", " ") in licence for name in names)


def test_each_typeface_that_the_style_names_is_there() -> None:
    css = Path(ROOT / "theme" / "static" / "css" / "base.css")
    named = [part.partition(")")[0] for part in css.read_text(encoding="utf-8").split("url(")[1:]]
    assert named
    assert [name for name in named if not (css.parent / name).is_file()] == []


LINES = """[...document.querySelectorAll("main, footer")].flatMap(part => {
    const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
    const found = [];
    let before = null;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        for (let i = 0; i < node.length; i++) {
            if (!node.data[i].trim()) continue;
            const range = document.createRange();
            range.setStart(node, i);
            range.setEnd(node, i + 1);
            const box = range.getBoundingClientRect();
            if (!box.height) continue;
            if (node.data[i] === "·" && before && box.top > before.bottom - 2) found.push(node.parentElement.outerHTML);
            before = box;
        }
    }
    return found;
})"""


def test_no_line_begins_with_a_dot_on_a_phone(phone: Page, paid_site: Site) -> None:
    locked = paid_site.folder / "locked" / "index.html"
    locked.parent.mkdir(exist_ok=True)
    page = (paid_site.folder / NEWEST / "index.html").read_text(encoding="utf-8")
    locked.write_text(page.replace("<p>", '<p class="locked">', 1), encoding="utf-8")
    for path in ("", NEWEST, "locked/", "archive/", "tags/delivery/", "search/", "404.html"):
        phone.goto(f"{paid_site.url}/{path}")
        assert phone.evaluate(LINES) == [], path
    phone.set_content("<main style='width: 1em'><p>Words here · and there</p></main>")
    assert len(phone.evaluate(LINES)) == 1


def test_an_issue_says_how_long_it_takes_and_is_forwarded_by_a_plain_link(phone: Page, site: Site) -> None:
    phone.goto(f"{site.url}/{NEWEST}")
    expect(phone.locator(".kicker")).to_contain_text("minutes to read")
    link = phone.get_by_role("link", name="Forward to a friend").get_attribute("href") or ""
    parts = parse_qs(urlsplit(link).query)
    assert parts == {"subject": ["The answer that never came"], "body": [f"{site.url}/{NEWEST}"]}
    shared = phone.get_by_role("link", name="LinkedIn").get_attribute("href") or ""
    assert parse_qs(urlsplit(shared).query) == {"url": [f"{site.url}/{NEWEST}"]}
    assert phone.locator(".pass").inner_text().endswith("Share on Bluesky, LinkedIn, WhatsApp")
    for path in ("", "tags/delivery/"):
        phone.goto(f"{site.url}/{path}")
        assert phone.locator(".facts").all_inner_texts().count("3 minutes to read") == 1, path


@pytest.mark.parametrize(
    ("html", "minutes"),
    [("<p>Short.</p>", 1), (f"<p>{'word ' * 690}</p>", 3), (f"<p>{'字' * 800}</p>", 2), ('<p class="locked">Paid.</p>', 0)],
)
def test_reading_takes_as_long_as_there_are_words_or_characters(html: str, minutes: int) -> None:
    assert count_minutes(html) == minutes


SELL = """() => {
    const body = document.querySelector('.body');
    body.insertAdjacentHTML('beforeend', '<p class="locked">For paid subscribers.</p>');
    body.insertAdjacentHTML('afterend', '<div class="paywall"><a class="button" href="/join">Join</a></div>');
}"""


def test_a_button_has_a_border_where_colours_are_forced(phone: Page, site: Site) -> None:
    phone.emulate_media(forced_colors="active")
    for path in ("", NEWEST):
        phone.goto(f"{site.url}/{path}")
        phone.evaluate(f"document.querySelector('.body') && ({SELL})()")
        buttons = phone.locator(".ask button, a.button").all()
        assert [one.evaluate("e => getComputedStyle(e).borderTopWidth") for one in buttons] == ["1px"] * (2 if path else 1)


def test_on_paper_the_end_of_the_free_text_is_a_whole_box_and_nothing_asks_to_be_clicked(phone: Page, site: Site) -> None:
    phone.goto(f"{site.url}/{NEWEST}")
    phone.evaluate(SELL)
    phone.emulate_media(media="print")
    assert phone.locator(".locked").evaluate("e => getComputedStyle(e).borderWidth") == "2px"
    for name in (".paywall", ".pass", ".envelope"):
        expect(phone.locator(name)).to_be_hidden()
