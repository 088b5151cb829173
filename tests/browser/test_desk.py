"""The operator's desk in a real browser: signing in, looking, pausing; on a phone and a desktop, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from api.app import create_app
from mailer.core.db import Database
from mailer.flows.operations import api_keys
from mailer.flows.operations.desk import desk_access
from mailer.flows.operations.desk.desk_access import DeskRole
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.store.subscribers import suppressions
from mailer.transports.outbox import Outbox
from tests import factories, web
from tests.browser.test_site import overflow
from tests.web import Web

PATHS = (
    "/desk",
    "/desk/sends",
    "/desk/sends/2",
    "/desk/growth",
    "/desk/suppressions",
    "/desk/keys",
    "/desk/settings",
    "/desk/log",
)


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[tuple[Web, str]]:
    """A newsletter with a finished and a waiting send, and its address."""
    conf = replace(web.make(tmp_path, database).settings, desk=True)
    newsletter = Web(conf, database)
    newsletter.send(5)
    held = replace(conf, hold=timedelta(hours=1))
    issues = [factories.old(), factories.edition(), factories.edition("2026-11-29-next", "<p>Another one.</p>")]
    adopt_issues(database, held, [factories.old()])
    publish(database, held, issues, [], Outbox(conf.outbox), Request())
    advance_sends(database, held)
    api_keys.create_key(database, "ci", "publish")
    with database.transaction() as tx:
        suppressions.add(tx, ["a-very-long-address-of-somebody@mail.department.example.org"], "hard bounce")
    app = create_app(
        settings=conf, database=database, site_folder=conf.site_folder, outbox=None, wake_transactional=lambda: True,
        site_name="The Letter",
    )  # fmt: skip
    with web.served(app) as url:
        yield newsletter, url


def sign_in(page: Page, newsletter: Web, url: str, role: DeskRole = DeskRole.OWNER) -> None:
    link = desk_access.create_link(newsletter.database, newsletter.settings, "ada", role)
    page.goto(link.replace(newsletter.settings.api_url, url))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{url}/desk")


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
def test_every_page_is_accessible_and_fits(browser: Browser, desk: tuple[Web, str], width: int, scheme: str) -> None:
    newsletter, url = desk
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    sign_in(page, newsletter, url)
    for path in (*PATHS, "/desk/login"):
        page.goto(url + path)
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(found => found.violations)")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], path
        assert overflow(page) == 0, path
    context.close()


def test_an_owner_pauses_and_resumes_a_send_and_the_first_page_follows_by_itself(
    browser: Browser, desk: tuple[Web, str]
) -> None:
    newsletter, url = desk
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    sign_in(page, newsletter, url)
    expect(page.get_by_role("heading", name="Everything is fine")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_visible()  # loaded by the script
    page.get_by_role("link", name="Subject of 2026-11-29-next").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("is paused")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="1 thing needs you")).to_be_visible()
    page.get_by_role("link", name="Look at it").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("is holding")
    page.get_by_role("link", name="Log").click()
    expect(page.get_by_role("cell", name="resume", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to the desk")).to_be_visible()
    context.close()


def test_a_viewer_has_no_buttons_and_scripts_are_not_needed(browser: Browser, desk: tuple[Web, str]) -> None:
    newsletter, url = desk
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, newsletter, url, DeskRole.VIEWER)
    expect(page.get_by_role("heading", name="Everything is fine")).to_be_visible()
    page.get_by_role("link", name="Subject of 2026-11-29-next").click()
    expect(page.get_by_role("heading", name="Outcomes")).to_be_visible()
    assert page.get_by_role("button").all_inner_texts() == ["Sign out"]
    context.close()
