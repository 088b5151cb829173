"""The sign-up form of a static site, in a real browser, with the API on another domain: one click, also without JavaScript."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mailer.commands.subscribers.embed import render_form
from mailer.core.db import Database
from mailer.core.form_fields import read_fields
from mailer.fakes.free_ports import find_free_port
from mailer.flows.subscribers import signup_limits
from mailer.webhooks import captcha
from tests import web
from tests.browser import test_site
from tests.browser.test_forms import ADA
from tests.browser.test_site import MODES, Mode, Site, overflow, too_faint
from tests.conftest import ROOT

WAIT = 20_000  # ms; the form's script waits for two seconds, and the machine may be busy
PORT = find_free_port()
API_URL = f"http://localhost:{PORT}"  # the site is at 127.0.0.1, for a browser another site


FIELDS = [
    {"name": "name", "label": "Your name", "required": True},
    {"name": "company", "label": "Company", "max_chars": 10},
    {"name": "role", "label": "Role", "choices": ["Editor", "Engineer"]},
]
ELSEWHERE = find_free_port()  # of a configured site


@dataclass(frozen=True)
class Newsletter:
    """A static site and its API."""

    site: Site
    api: web.Web

    def has_only(self, *emails: str) -> bool:
        """Are exactly these addresses subscribed, and asked to confirm?"""
        return all(self.api.state(email) == "unconfirmed" for email in emails) and self.api.counted("subscribers") == len(
            emails
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from test_site.served(ROOT / "content", tmp_path_factory.mktemp("site"), api_url=API_URL)


@pytest.fixture(scope="module")
def site_with_fields(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("fields")
    config = (
        (ROOT / "pelicanconf.py").read_text(encoding="utf-8").replace("Path(__file__).resolve().parent", f"Path({str(ROOT)!r})")
    )
    (folder / "pelicanconf.py").write_text(f"{config}\nPOSTMERGE_FORM_FIELDS = {FIELDS!r}\n", encoding="utf-8")
    yield from test_site.served(ROOT / "content", folder, api_url=API_URL, config=folder / "pelicanconf.py")


@pytest.fixture
def newsletter(site: Site, tmp_path: Path, database: Database) -> Iterator[Newsletter]:
    yield from running(site, tmp_path, database)


@pytest.fixture
def newsletter_with_fields(site_with_fields: Site, tmp_path: Path, database: Database) -> Iterator[Newsletter]:
    yield from running(site_with_fields, tmp_path, database, form_fields=read_fields(FIELDS))


def running(
    site: Site, folder: Path, database: Database, settings: Mapping[str, object] | None = None, **more: object
) -> Iterator[Newsletter]:
    """The API of the site, which also knows the origin of ELSEWHERE."""
    own = {"site_url": site.url, "api_url": API_URL, "form_origins": (f"http://127.0.0.1:{ELSEWHERE}",), **(settings or {})}
    api = web.make(folder, database, topics=("delivery",), **own)
    with web.served(api.app(**more), PORT):
        yield Newsletter(site, api)


@pytest.fixture
def page(browser: Browser, newsletter: Newsletter) -> Iterator[Page]:
    with closing(browser.new_context(base_url=newsletter.site.url, viewport={"width": 390, "height": 800})) as context:
        yield context.new_page()


def subscribe(page: Page, email: str = ADA) -> None:
    """Fill in the form and click, as fast as a browser that knows the address."""
    page.get_by_label("Your email address").fill(email)
    page.get_by_role("button", name="Subscribe").click()


def test_one_click_at_once_subscribes_and_the_answer_appears_in_place(page: Page, newsletter: Newsletter) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/tags/delivery/")
    subscribe(page)
    expect(page.get_by_role("status")).to_have_text("One moment…")
    expect(page.get_by_role("status")).to_contain_text("Check your inbox If ada@example.org isn’t", timeout=WAIT)
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.get_by_label("Your email address")).to_have_count(0)
    assert page.url == f"{newsletter.site.url}/tags/delivery/"
    assert newsletter.has_only(ADA)
    assert newsletter.api.counted("limits") > 0
    with newsletter.api.database.transaction() as tx:
        assert tx.value("SELECT evidence ->> 'page' FROM consents") == page.url
        assert tx.value("SELECT count(*) FROM limits WHERE scope LIKE 'unproven%%'") == 0
    assert complaints == []


def test_one_click_at_once_subscribes_without_javascript_too(browser: Browser, newsletter: Newsletter) -> None:
    with closing(browser.new_context(base_url=newsletter.site.url, java_script_enabled=False)) as context:
        page = context.new_page()
        page.goto("/")
        subscribe(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
        assert newsletter.has_only(ADA)
        page.goto(f"{API_URL}/subscribe")  # our own page, which has a token, but a very new one
        subscribe(page, "bob@example.org")
        expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
        assert newsletter.has_only(ADA, "bob@example.org")


def test_without_javascript_another_click_is_asked_for_only_above_the_limits(browser: Browser, newsletter: Newsletter) -> None:
    signup_limits.set_firewall(newsletter.api.database, up=True)
    with closing(browser.new_context(base_url=newsletter.site.url, java_script_enabled=False)) as context:
        page = context.new_page()
        page.goto("/")
        subscribe(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("One more click")
        assert newsletter.has_only()
        page.wait_for_timeout(2100)
        page.get_by_role("button", name="Subscribe").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
        assert newsletter.has_only(ADA)


def test_a_typing_error_is_explained_in_place_and_one_click_corrects_it(page: Page, newsletter: Newsletter) -> None:
    page.goto("/")
    field, status = page.get_by_label("Your email address"), page.get_by_role("status")
    subscribe(page, "ada@localhost")
    expect(status).to_contain_text("address", timeout=WAIT)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("address"))
    subscribe(page, "ada@gmial.com")
    expect(status).to_contain_text("Did you mean ada@gmail.com?", timeout=WAIT)
    assert newsletter.has_only()
    page.get_by_role("button", name="Yes, that one").click()
    expect(status).to_contain_text("Check your inbox", timeout=WAIT)
    assert newsletter.has_only("ada@gmail.com")


def test_an_unusual_address_is_accepted_with_a_second_click(page: Page, newsletter: Newsletter) -> None:
    page.goto("/")
    subscribe(page, "ada@gmial.com")
    expect(page.get_by_role("status")).to_contain_text("If it’s correct, click Subscribe again.", timeout=WAIT)
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("status")).to_contain_text("Check your inbox", timeout=WAIT)
    assert newsletter.has_only("ada@gmial.com")


@contextmanager
def embedded(folder: Path, newsletter: Newsletter, port: int, script: bool = True) -> Iterator[str]:
    """The URL of another site's page into which somebody pasted the form."""
    form = render_form(newsletter.api.settings, read_fields(FIELDS), script, ["delivery"], "en")
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    (folder / "index.html").write_text(f"{head}<title>A site</title><main><h1>A site</h1>{form}</main>", encoding="utf-8")
    handler = functools.partial(test_site.Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{port}/"
        server.shutdown()


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("script", [True, False], ids=["with a script", "plain"])
def test_the_form_on_another_configured_site_subscribes_with_one_click(
    browser: Browser, newsletter_with_fields: Newsletter, tmp_path: Path, script: bool, javascript: bool
) -> None:
    site = embedded(tmp_path, newsletter_with_fields, ELSEWHERE, script)
    with site as url, closing(browser.new_context(java_script_enabled=javascript)) as context:
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Your name").fill("Ada Byron")
        page.get_by_label("Role (optional)").select_option("Engineer")
        subscribe(page)
        in_place = page.get_by_role("status") if script and javascript else page.get_by_role("main")
        expect(in_place).to_contain_text("Check your inbox", timeout=WAIT)
        assert page.url == (url if script and javascript else f"{API_URL}/subscribe")
        assert newsletter_with_fields.has_only(ADA)


CAPTCHA = """
document.querySelectorAll(".cf-turnstile").forEach((widget) => {
  const field = Object.assign(document.createElement("input"), { type: "hidden", name: "cf-turnstile-response" });
  field.value = widget.dataset.sitekey === "site-key" ? "solved" : "";
  widget.append(field);
});
"""


@pytest.mark.parametrize("kind", ["work", "hook"])
def test_a_challenge_is_solved_in_the_embedding_page(
    browser: Browser, site_with_fields: Site, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(captcha, "verify_answer", lambda url, secret, answer, ip: answer == "solved")
    service = {"challenge_script": f"http://127.0.0.1:{ELSEWHERE}/captcha.js", "challenge_site_key": "site-key"}
    challenged = {"challenge": kind, "challenge_bits": 12, **(service if kind == "hook" else {})}
    (tmp_path / "captcha.js").write_text(CAPTCHA, encoding="utf-8")
    for newsletter in running(site_with_fields, tmp_path, database, challenged, form_fields=read_fields(FIELDS)):
        with embedded(tmp_path, newsletter, ELSEWHERE) as url, closing(browser.new_context()) as context:
            page = context.new_page()
            page.goto(url)
            page.get_by_label("Your name").fill("Ada Byron")
            subscribe(page)
            expect(page.get_by_role("status")).to_contain_text("Check your inbox", timeout=60_000)
            assert page.url == url
            assert newsletter.has_only(ADA)


def test_the_sites_form_asks_its_own_fields_and_explains_what_cannot_be_kept(
    browser: Browser, newsletter_with_fields: Newsletter
) -> None:
    with closing(browser.new_context(base_url=newsletter_with_fields.site.url)) as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Your name").fill("Ada Byron")
        company = page.get_by_label("Company (optional)")
        company.evaluate("field => field.removeAttribute('maxlength')")
        company.fill("Analytical Engines")
        subscribe(page)
        expect(page.get_by_role("status")).to_contain_text("“Company” is too long.", timeout=WAIT)
        expect(company).to_be_focused()
        expect(company).to_have_attribute("aria-invalid", "true")
        assert newsletter_with_fields.has_only()
        company.fill("Analytical")
        subscribe(page)
        expect(page.get_by_role("status")).to_contain_text("Check your inbox", timeout=WAIT)
        assert newsletter_with_fields.has_only(ADA)


def test_a_site_that_is_not_configured_leads_to_one_more_click_on_our_page(
    browser: Browser, newsletter_with_fields: Newsletter, tmp_path: Path
) -> None:
    with embedded(tmp_path, newsletter_with_fields, find_free_port()) as url, closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Your name").fill("Ada Byron")
        subscribe(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("One more click", timeout=WAIT)
        assert page.url == f"{API_URL}/subscribe"
        assert newsletter_with_fields.has_only()


def test_a_page_asks_the_api_nothing_until_the_form_is_used(page: Page, newsletter: Newsletter) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/")
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith(newsletter.site.url)] == []
    with page.expect_response(f"{API_URL}/subscribe/token"):
        page.get_by_label("Your email address").focus()


def test_while_the_api_is_away_nothing_looks_like_success(browser: Browser, site: Site) -> None:
    with closing(browser.new_context(base_url=site.url)) as context:
        page = context.new_page()
        page.goto("/")
        with page.expect_event("requestfailed", lambda request: request.is_navigation_request(), timeout=WAIT):
            subscribe(page)  # the script gives up, and the browser says that it cannot reach the server
        expect(page.get_by_text("Check your inbox")).to_have_count(0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [390, 1280])
def test_every_answer_in_place_fits_and_stands_out_and_axe_finds_nothing(
    browser: Browser, newsletter: Newsletter, mode: Mode, width: int
) -> None:
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    viewport = {"width": width, "height": 800}
    with closing(browser.new_context(base_url=newsletter.site.url, color_scheme=mode, viewport=viewport)) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto("/")
        page.evaluate(axe)
        for email, words in (("ada@localhost", "address"), ("ada@gmial.com", "Did you mean"), (ADA, "Check your inbox")):
            subscribe(page, email)
            expect(page.get_by_role("status")).to_contain_text(words, timeout=WAIT)
            assert overflow(page) <= 0, words
            assert too_faint(page, ".envelope :is(p, h2, label, button, strong)") == [], words
            violations = page.evaluate("axe.run(document).then(found => found.violations)")
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == [], words
