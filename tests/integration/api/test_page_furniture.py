"""The site's header and footer on pages of forms."""

from __future__ import annotations

from pathlib import Path

from mailer.core.db import Database
from tests import web

PAGE = """<html><body><header class="masthead" lang="de"><a href="/archive/">Archiv</a></header>
<main>404</main><footer class="foot"><a href="/impressum/">Impressum</a></footer></body></html>"""


def test_a_page_of_a_form_has_the_sites_header_and_footer(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    before = newsletter.client.get("/subscribe").text
    assert '<header class="masthead">' in before
    newsletter.settings.site_folder.mkdir(parents=True)
    (newsletter.settings.site_folder / "404.html").write_text(PAGE, encoding="utf-8")
    after = newsletter.client.get("/subscribe").text
    assert '<header class="masthead" lang="de"><a href="/archive/">Archiv</a></header>' in after
    assert '<a href="/impressum/">Impressum</a>' in after
    assert after.count("<header") == after.count("<footer") == 1


def test_a_theme_with_another_header_keeps_ours(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    newsletter.settings.site_folder.mkdir(parents=True)
    (newsletter.settings.site_folder / "404.html").write_bytes(b"\xff<header>Theirs</header>")
    assert '<header class="masthead">' in newsletter.client.get("/subscribe").text


def test_the_operators_pages_keep_their_own_header(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    newsletter.settings.site_folder.mkdir(parents=True)
    (newsletter.settings.site_folder / "404.html").write_text(PAGE, encoding="utf-8")
    assert "Impressum" not in newsletter.client.get("/outbox").text


def test_typefaces_are_served_to_our_pages_alone(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    page = newsletter.client.get("/subscribe")
    assert "font-src 'self'" in page.headers["content-security-policy"]
    assert "/-/theme/css/base.css" in page.text
    face = newsletter.client.get("/-/theme/fonts/literata.woff2")
    assert (face.status_code, face.headers["content-type"]) == (200, "font/woff2")


def test_the_reference_of_the_api_begins_with_an_introduction(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    page = newsletter.client.get("/docs").text
    assert page.index("Authorization: Token") < page.index('id="docs"')
    assert "prefers-color-scheme: dark" in newsletter.client.get("/-/docs.css").text
