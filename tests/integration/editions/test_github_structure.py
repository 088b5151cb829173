"""Page, feed and email have the structure that GitHub shows: a reviewer and a subscriber read the same."""

from __future__ import annotations

import json
from pathlib import Path

from lxml import html

from bench.dialect import by_github, structure
from tests.integration.editions.test_builds import QUICK
from tests.integration.editions.test_editions import NewsletterFolder
from tests.integration.editions.test_gfm_builds import choose
from tests.unit.editions.test_gfm import SAME


def inside(page: str, condition: str) -> str:
    """The HTML in the first element that meets a condition."""
    found = html.document_fromstring(page).xpath(f"//*[{condition}]")
    assert isinstance(found, list)
    assert isinstance(found[0], html.HtmlElement)
    return (found[0].text or "") + "".join(html.tostring(child, encoding="unicode") for child in found[0])


def test_every_construct_has_githubs_structure_on_the_page_in_the_feed_and_in_the_email(tmp_path: Path) -> None:
    newsletter = NewsletterFolder(tmp_path)
    choose(newsletter, QUICK + f"FEED_MAX_ITEMS = {len(SAME) + 10}")
    for number, text in enumerate(SAME):
        newsletter.write(f"n{number}.md", f"Title: Number {number}\nDate: 2026-11-01 09:00\nPreheader: x", text + "\n")
    editions = {one.key: one for one in newsletter.build().editions}
    feed = json.loads((newsletter.folder / "build/site/feeds/all.json").read_text())
    entries = {item["title"]: item["content_html"] for item in feed["items"]}
    for number, text in enumerate(SAME):
        edition = editions[f"n{number}"]
        wanted = structure(by_github(text), edition.url)
        page = inside(newsletter.page(f"issues/n{number}/index.html"), "@data-digest")
        email = inside(edition.html, "contains(concat(' ', @class, ' '), ' body ')")
        for place, shown in (("page", page), ("feed", entries[edition.title]), ("email", email)):
            assert structure(shown, edition.url) == wanted, (place, text)
