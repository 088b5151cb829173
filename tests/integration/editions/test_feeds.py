"""Feeds that feed readers accept, guids and addresses that outlive a rename, and what a site has around its pages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree, html
from PIL import Image

from mailer.editions.images.card_drawing import draw
from mailer.editions.images.share_cards import Card
from tests.integration.editions.test_editions import SITE, NewsletterFolder, one, told

FEEDS = ("feeds/all", "feeds/tag/python")
ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"


@pytest.fixture
def newsletter(tmp_path: Path) -> NewsletterFolder:
    made = NewsletterFolder(tmp_path)
    made.write("old.md", "Title: Old & gold\nDate: 2026-11-01 09:00\nTags: python, mail", "Hello **there**.\n")
    made.write("second.md", "Title: Second\nDate: 2026-11-08 09:00")
    return made


def check_json_feed(feed: dict[str, Any]) -> None:
    """The musts and the shoulds of JSON Feed 1.1."""
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["title"]
    assert set(feed) <= {"version", "title", "home_page_url", "feed_url", "description", "language", "authors", "items"}
    assert len({item["id"] for item in feed["items"]}) == len(feed["items"])
    for item in feed["items"]:
        assert all(isinstance(item[name], str) and item[name] for name in ("id", "url", "title", "content_html", "language"))
        assert datetime.fromisoformat(item["date_published"]).tzinfo
        assert all(isinstance(tag, str) for tag in item["tags"])
        for attachment in item.get("attachments", []):
            assert attachment["url"].startswith("http")
            assert re.fullmatch(r"audio/[\w-]+", attachment["mime_type"])
            assert isinstance(attachment["size_in_bytes"], int)


def test_the_three_kinds_of_feed_hold_the_same_entries(newsletter: NewsletterFolder) -> None:
    edition = one(newsletter.build(), "old")
    for name in FEEDS:
        made = json.loads(newsletter.page(f"{name}.json"))
        check_json_feed(made)
        entries = [(item["id"], item["url"], item["title"], item["content_html"].strip()) for item in made["items"]]
        assert (edition.url, edition.title, edition.body.strip()) in [entry[1:] for entry in entries]
        for kind in ("rss", "atom"):
            read = feedparser.parse(newsletter.page(f"{name}.{kind}.xml"), sanitize_html=False, resolve_relative_uris=False)
            assert not read.bozo
            assert [(e.id, e.link, e.title, e.content[0].value.strip()) for e in read.entries] == entries
            assert {"python", "mail"} <= {tag.term for e in read.entries if e.id == entries[-1][0] for tag in e.tags}


def test_a_feed_names_the_style_sheet_that_shows_it_to_people(newsletter: NewsletterFolder) -> None:
    newsletter.build()
    for name in ("feeds/all.rss.xml", "feeds/all.atom.xml", "feeds/tag/python.rss.xml"):
        link = etree.fromstring(newsletter.page(name).encode()).getprevious()
        assert link is not None
        assert "theme/css/feed.css" in str(link.text), name
        assert (newsletter.folder / "build" / "site" / "theme" / "css" / "feed.css").is_file()


def rename(newsletter: NewsletterFolder, formerly: str) -> None:
    path = newsletter.issues / "old.md"
    path.rename(newsletter.issues / "new.md")
    text = (newsletter.issues / "new.md").read_text()
    (newsletter.issues / "new.md").write_text(f"Formerly: {formerly}\n{text}")


@pytest.mark.parametrize("formerly", ["old", "old.md", "issues/old/", f"{SITE}/issues/old/", "old, older"])
def test_a_renamed_issue_keeps_its_guid_and_its_old_address_leads_to_it(newsletter: NewsletterFolder, formerly: str) -> None:
    newsletter.build()
    before = {e.title: e.id for e in feedparser.parse(newsletter.page("feeds/all.rss.xml")).entries}
    rename(newsletter, formerly)
    report = newsletter.build()
    after = {e.title: e.id for e in feedparser.parse(newsletter.page("feeds/all.rss.xml")).entries}
    assert after == before
    assert one(report, "new").url == f"{SITE}/issues/new/"
    moved = newsletter.page("issues/old/index.html")
    assert f'<meta http-equiv="refresh" content="0; url={SITE}/issues/new/">' in moved
    assert f'<link rel="canonical" href="{SITE}/issues/new/">' in moved
    assert "Old &amp; gold" in moved
    assert told(report, "warning") == []


def test_a_former_address_that_is_anothers_now_is_a_warning_at_its_line(newsletter: NewsletterFolder) -> None:
    rename(newsletter, "second")
    report = newsletter.build()
    assert told(report, "warning") == [
        "content/issues/new.md:1: warning: `Formerly: second` is the address of another page now: remove that name."
    ]
    assert "refresh" not in newsletter.page("issues/second/index.html")


def test_a_former_name_never_leads_out_of_the_site(newsletter: NewsletterFolder) -> None:
    rename(newsletter, "../../../evil, ..")
    newsletter.build()
    assert not list(newsletter.folder.glob("evil*"))
    assert (newsletter.folder / "build" / "site" / "issues" / "evil" / "index.html").is_file()


def test_an_issue_with_a_recording_is_an_episode(newsletter: NewsletterFolder) -> None:
    (newsletter.folder / "content" / "audio").mkdir()
    (newsletter.folder / "content" / "audio" / "one.mp3").write_bytes(b"ID3" + bytes(997))
    newsletter.write("spoken.md", "Title: Spoken\nDate: 2026-11-09\nAudio: audio/one.mp3\nAudio-Duration: 1:02:03")
    newsletter.write(
        "far.md", "Title: Far\nDate: 2026-11-10\nAudio: https://cdn.example.org/a.m4a\nAudio-Size: 77\nAudio-Duration: 2:03"
    )
    assert told(newsletter.build(), "warning") == []
    read = feedparser.parse(newsletter.page("feeds/podcast.rss.xml"))
    assert not read.bozo
    assert [(e.title, e.enclosures[0].href, e.enclosures[0].length, e.enclosures[0].type) for e in read.entries] == [
        ("Far", "https://cdn.example.org/a.m4a", "77", "audio/x-m4a"),
        ("Spoken", f"{SITE}/audio/one.mp3", "1000", "audio/mpeg"),
    ]
    assert (newsletter.folder / "build" / "site" / "audio" / "one.mp3").stat().st_size == 1000
    tree = etree.fromstring(newsletter.page("feeds/podcast.rss.xml").encode())
    assert [element.text for element in tree.iter(f"{ITUNES}duration")] == ["0:02:03", "1:02:03"]
    assert {f"{ITUNES}author", f"{ITUNES}explicit", f"{ITUNES}category"} <= {str(e.tag) for e in tree.iter()}
    made = json.loads(newsletter.page("feeds/all.json"))
    check_json_feed(made)
    assert made["items"][1]["attachments"][0]["duration_in_seconds"] == 3723


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("Audio: audio/gone.mp3\nAudio-Duration: 2:03", "`Audio: audio/gone.mp3` is not a file"),
        ("Audio: ../../secret.mp3\nAudio-Duration: 2:03", "`Audio: ../../secret.mp3` is not a file"),
        ("Audio: https://cdn.example.org/a.mp3\nAudio-Duration: 2:03", "needs its size in bytes: add `Audio-Size: 12345678`"),
        ("Audio: https://cdn.example.org/a.mp3\nAudio-Size: 5", "needs its length: add `Audio-Duration: 32:10`"),
    ],
)
def test_a_recording_that_cannot_be_used_is_a_warning_at_its_line(
    newsletter: NewsletterFolder, head: str, sentence: str
) -> None:
    newsletter.write("spoken.md", f"Title: Spoken\nDate: 2026-11-09\n{head}")
    [warning] = told(newsletter.build(), "warning")
    assert warning.startswith("content/issues/spoken.md:3: warning: ")
    assert sentence in warning


def test_a_changed_issue_renews_the_search_index_of_its_own_year_only(newsletter: NewsletterFolder) -> None:
    for year in (2019, 2021):
        newsletter.write(f"y{year}.md", f"Title: Of {year}\nDate: {year}-05-05", "An armadillo.\n")
    newsletter.build()
    site, cache = newsletter.folder / "build" / "site" / "pagefind", newsletter.folder / "build" / "cache" / "search"
    assert json.loads((site / "years.json").read_text()) == ["2026", "2021", "2019"]
    before = set(cache.iterdir())
    newsletter.build()
    assert set(cache.iterdir()) == before
    newsletter.write("y2021.md", "Title: Of 2021\nDate: 2021-05-05", "Two armadillos.\n")
    newsletter.build()
    assert len(set(cache.iterdir()) & before) == 2
    (newsletter.issues / "y2019.md").unlink()
    newsletter.build()
    assert not (site / "2019").exists()


def test_search_can_be_switched_off(newsletter: NewsletterFolder) -> None:
    config = newsletter.folder / "pelicanconf.py"
    config.write_text(config.read_text() + "\nPOSTMERGE_SEARCH = False\n")
    newsletter.build()
    assert not (newsletter.folder / "build" / "site" / "pagefind").exists()
    assert "/search/" not in newsletter.page("index.html")


def test_the_sitemap_lists_every_page_and_robots_txt_names_it(newsletter: NewsletterFolder) -> None:
    (newsletter.folder / "content" / "pages").mkdir()
    (newsletter.folder / "content" / "pages" / "about.md").write_text("Title: About\n\nUs.\n")
    newsletter.write("中文.md", "Title: 中文\nDate: 2026-11-10\nLang: zh")
    report = newsletter.build()
    assert f"Sitemap: {SITE}/sitemap.xml" in newsletter.page("robots.txt")
    tree = etree.fromstring(newsletter.page("sitemap.xml").encode())
    places = [element.text or "" for element in tree.iter("{*}loc")]
    assert {f"{SITE}/", f"{SITE}/about/", f"{SITE}/issues/old/", f"{SITE}/tags/python/"} <= set(places)
    assert len(places) == len(set(places)) >= len(report.editions) + 3
    assert all(place.isascii() for place in places)


def test_each_issue_has_a_card_that_is_drawn_once_and_the_same_everywhere(newsletter: NewsletterFolder) -> None:
    newsletter.write("long.md", "Title: " + "A long title of many words " * 12 + "\nDate: 2026-11-11")
    newsletter.write("日本.md", "Title: 東京からの手紙\nDate: 2026-11-12\nLang: ja")
    newsletter.build()
    page = newsletter.page("issues/old/index.html")
    [address] = re.findall(r'<meta property="og:image" content="([^"]+)">', page)
    path = newsletter.folder / "build" / "site" / address.removeprefix(f"{SITE}/")
    with Image.open(path) as image:
        assert image.size == (1200, 630)
    assert path.stat().st_size < 60_000
    card = Card("x.png", "Old & gold", "A letter", "1 November 2026")
    assert draw(card) == draw(card) != draw(replace(card, title="Another"))
    assert draw(replace(card, title="東京")) == draw(replace(card, title="大阪")), "no boxes for characters that are not there"
    newsletter.build(into="clean")
    assert (newsletter.folder / "clean" / "site" / address.removeprefix(f"{SITE}/")).read_bytes() == path.read_bytes()


def test_a_page_describes_itself_to_machines(newsletter: NewsletterFolder) -> None:
    newsletter.write("sly.md", 'Title: </script><b>"Sly"\nDate: 2026-11-12\nTags: x')
    newsletter.build()
    for name, title in (("old", "Old & gold"), ("sly", '"Sly"')):
        page = html.document_fromstring(newsletter.page(f"issues/{name}/index.html"))
        [script] = [element for element in page.iter("script") if element.get("type") == "application/ld+json"]
        facts = json.loads(script.text or "")
        assert (facts["@type"], facts["headline"], facts["url"]) == ("Article", title, f"{SITE}/issues/{name}/")
        assert datetime.fromisoformat(facts["datePublished"]).tzinfo
        assert [e.get("href") for e in page.iter("link") if e.get("rel") == "canonical"] == [f"{SITE}/issues/{name}/"]
        assert [e.get("content") for e in page.iter("meta") if e.get("property") == "og:type"] == ["article"]


def test_a_long_issue_has_a_table_of_contents_and_a_short_one_has_none(newsletter: NewsletterFolder) -> None:
    body = "".join(f"## Part *{n}* & more\n\n" + "Words. " * 400 + "\n\n" for n in range(4))
    newsletter.write("long.md", "Title: Long\nDate: 2026-11-12", body)
    newsletter.build()
    page = html.document_fromstring(newsletter.page("issues/long/index.html"))
    [toc] = [element for element in page.iter("details") if element.get("class") == "toc"]
    links = list(toc.iter("a"))
    headings = {element.get("id") for element in page.iter("h2")}
    assert ["".join(map(str, link.itertext())) for link in links] == [f"Part {n} & more" for n in range(4)]
    assert {link.get("href", "")[1:] for link in links} <= headings
    assert 'class="toc"' not in newsletter.page("issues/old/index.html")
