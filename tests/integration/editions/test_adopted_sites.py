"""A Pelican site that only adds the plugin keeps its addresses, its feeds and their ids; its issues keep their keys."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import feedparser
import pytest

from mailer import editions
from mailer.core.errors import BadInput
from mailer.editions import BuildOptions, Report
from tests.conftest import ROOT

ONE_LINE = '\nPLUGINS = [*PLUGINS, "mailer.editions.plugin"]\n'
CONFIG = """
AUTHOR = "Ada"
SITENAME = "An old blog"
SITEURL = "https://blog.example.org"
PATH = "content"
TIMEZONE = "Europe/Berlin"
DEFAULT_LANG = "en"
THEME = "simple"
FEED_ALL_ATOM = "atom.xml"
PLUGINS = []
"""
HEAD = "Title: Hello World\nDate: 2020-01-02 10:00\n"
# What the settings say, the files, and an address that Pelican gives them.
FEATURES: dict[str, tuple[str, dict[str, str], str]] = {
    "titles": ("", {"a.md": HEAD}, "hello-world.html"),
    "no time zone and no language": ("del TIMEZONE, DEFAULT_LANG, SITENAME, AUTHOR", {"a.md": HEAD}, "hello-world.html"),
    "names": ('SLUGIFY_SOURCE = "basename"', {"a_b.md": HEAD}, "a_b.html"),
    "own addresses": (
        'ARTICLE_URL = "posts/{date:%Y}/{slug}/"\nARTICLE_SAVE_AS = "posts/{date:%Y}/{slug}/index.html"', {"a.md": HEAD},
        "posts/2020/hello-world/index.html",
    ),
    "addresses with a category": (
        'ARTICLE_URL = "{category}/{slug}.html"\nARTICLE_SAVE_AS = ARTICLE_URL', {"news/a.md": f"{HEAD}Formerly: /old/\n"},
        "news/hello-world.html",
    ),
    "a slug with a slash": ("", {"a.md": f"{HEAD}Slug: a/b\n"}, "a/b.html"),
    "an address of its own": ("", {"a.md": f"{HEAD}Url: own/\nSave_as: own/index.html\n"}, "own/index.html"),
    "drafts": ("", {"a.md": HEAD, "b.md": "Title: Not yet\nDate: 2020-01-03\nStatus: draft\n"}, "drafts/not-yet.html"),
    "drafts in reStructuredText": (
        "", {"a.rst": "Hello\n=====\n\n:date: 2020-01-02\n:status: draft\n"}, "drafts/hello.html",
    ),
    "articles in reStructuredText": ("", {"a.rst": "Hello\n=====\n\n:date: 2020-01-02\n"}, "hello.html"),
    "dates in the names of reStructuredText": ("", {"2020-01-02-a.rst": "Hello\n=====\n\n:tags: x\n"}, "hello.html"),
    "HTML in reStructuredText": (
        "", {"a.rst": "Hello\n=====\n\n:date: 2020-01-02\n\n.. raw:: html\n\n   <p>Some <b>HTML</b></p>\n"}, "hello.html",
    ),
    "texts that begin like a field": ("", {"a.md": f"{HEAD}\nNote: this is the text.\n"}, "hello-world.html"),
    "two articles of one slug": (
        'ARTICLE_URL = "{date:%Y}/{slug}/"\nARTICLE_SAVE_AS = "{date:%Y}/{slug}/index.html"\nTRANSLATION_FEED_ATOM = None',
        {"a.md": HEAD, "b.md": HEAD.replace("2020", "2021")}, "2021/hello-world/index.html",
    ),
    "fields of several lines": (
        'ARTICLE_URL = "{places[1]}/{slug}.html"\nARTICLE_SAVE_AS = ARTICLE_URL',  # an unknown one is a list
        {"a.md": f"{HEAD}Authors: Ada,\n    Eve\nTags: x\nTags: y\nSummary: One\n    *two*\nPlaces: london\n    paris\n"},
        "paris/hello-world.html",
    ),
    "an empty summary": ("", {"a.md": f"{HEAD}Summary:\nSlug: a\n"}, "a.html"),
    "no address of the site": (
        'SITEURL = ""', {"a.md": f"{HEAD}\n[b]({{filename}}b.md)\n", "b.md": "Title: B\nDate: 2020-01-01\n"}, "b.html",
    ),
    "zones that Pelican passes over": ("", {"a.md": HEAD.replace("10:00", "23:00 CEST")}, "hello-world.html"),
    "drafts by default": ('DEFAULT_METADATA = {"status": "draft"}', {"a.md": HEAD}, "drafts/hello-world.html"),
    "hidden articles": ("", {"a.md": f"{HEAD}Status: hidden\n"}, "hello-world.html"),
    "dates in names": (
        r'FILENAME_METADATA = r"(?P<date>\d{4}-\d{2}-\d{2})-(?P<slug>.*)"', {"2020-01-02-by-name.md": "Title: T\n"},
        "by-name.html",
    ),
    "dates in paths": (r'PATH_METADATA = r"(?P<date>\d{4}-\d{2}-\d{2})/.*"', {"2020-01-02/a.md": "Title: T\n"}, "t.html"),
    "a date by default": ("DEFAULT_DATE = (2020, 1, 2)", {"a.md": "Title: T\n"}, "t.html"),
    "folders as categories": ("", {"news/a.md": HEAD}, "category/news.html"),
    "some folders": (
        'ARTICLE_PATHS = ["blog"]\nARTICLE_EXCLUDES = ["blog/old"]',
        {"blog/a.md": HEAD, "blog/old/b.md": "Title: B\nDate: 2020-01-01\n", "elsewhere/c.md": "Title: C\nDate: 2020-01-01\n"},
        "hello-world.html",
    ),
    "files to ignore": ('IGNORE_FILES = ["_*"]', {"a.md": HEAD, "_b.md": "Title: B\nDate: 2020-01-01\n"}, "hello-world.html"),
    "a README among pictures": (
        'STATIC_PATHS = ["pictures"]', {"a.md": HEAD, "pictures/README.md": "# Pictures\n"}, "hello-world.html",
    ),
    "translations": (
        "", {"a.md": f"{HEAD}Slug: hello\n", "b.md": "Title: Hallo\nDate: 2020-01-02\nSlug: hello\nLang: de\n"},
        "hello-de.html",
    ),
    "feeds": (
        'FEED_ALL_RSS = "rss.xml"\nCATEGORY_FEED_ATOM = "feeds/{slug}.atom.xml"\nTAG_FEED_RSS = "tag/{slug}/feed.xml"',
        {"a.md": f"{HEAD}Tags: x, y\nCategory: news\n"}, "tag/x/feed.xml",
    ),
    "summaries": (
        "SUMMARY_MAX_LENGTH = 3", {"a.md": f"{HEAD}Summary: One *word*\n", "b.md": "Title: B\nDate: 2020-01-01\n"}, "b.html",
    ),
    "substitutions in slugs": (r'SLUG_REGEX_SUBSTITUTIONS = [(r"\s+", "_")]', {"a.md": HEAD}, "hello_world.html"),
}  # fmt: skip


def lay_out(folder: Path, config: str, files: dict[str, str]) -> BuildOptions:
    for name, head in files.items():
        path = folder / "content" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "A text of *more* than five words, in one paragraph."
        path.write_text(head if head.startswith("#") else f"{head}\n{text}\n")
    (folder / "stock.py").write_text(f"{CONFIG}{config}\n")
    (folder / "pelicanconf.py").write_text(f"{CONFIG}{config}\n{ONE_LINE}")
    return BuildOptions(folder / "content", folder / "site", folder / "editions", None, folder / "pelicanconf.py")


def build_both(folder: Path, config: str, files: dict[str, str]) -> Report:
    """Build the site with the plugin, and beside it as stock Pelican does."""
    report = editions.build(lay_out(folder, config, files))
    command = [sys.executable, "-m", "pelican", "content", "-o", "stock", "-s", "stock.py", "-q"]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return report


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def plain(path: Path) -> str:
    """A page or feed without what is known to differ: the digest around a body, and blanks."""
    text = path.read_text("utf-8")
    text = re.sub(r"<div data-receipt=[^>]*>(.*?)\s*</div>", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"&lt;div data-receipt=.*?&gt;(.*?)\s*&lt;/div&gt;", r"\1", text, flags=re.DOTALL)
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("feature", FEATURES)
def test_every_page_and_feed_of_pelican_is_where_it_was(tmp_path: Path, feature: str) -> None:
    config, files, address = FEATURES[feature]
    report = build_both(tmp_path, config, files)
    assert [one for one in report.findings if one.level == "error"] == []
    stock, ours = tmp_path / "stock", tmp_path / "site"
    assert address in names(stock)
    assert names(stock) - names(ours) == set()
    extra = {"robots.txt", "sitemap.xml", "theme/js/subscribe.js", "pictures/README.md"}
    assert names(ours) - names(stock) <= extra | ({"old/index.html"} if "category" in feature else set())
    for name in names(stock):
        if name.endswith(".html"):
            assert plain(ours / name) == plain(stock / name), name
        if name.endswith(".xml"):
            was, now = (feedparser.parse((folder / name).read_bytes()) for folder in (stock, ours))
            assert (now.version, [(e.id, e.link) for e in now.entries]) == (was.version, [(e.id, e.link) for e in was.entries])


def test_keys_follow_the_names_whatever_the_addresses_are(tmp_path: Path) -> None:
    one = editions.build(lay_out(tmp_path / "a", "", {"2020-my-name.md": HEAD}))
    other = editions.build(lay_out(tmp_path / "b", 'SLUGIFY_SOURCE = "basename"', {"2020-my-name.md": HEAD}))
    files = editions.build(lay_out(tmp_path / "c", 'POSTMERGE_ADDRESSES = "files"', {"2020-my-name.md": HEAD}))
    assert [report.editions[0].key for report in (one, other, files)] == ["2020-my-name"] * 3
    assert [report.editions[0].url.rpartition("/")[2] for report in (one, files)] == ["hello-world.html", "2020-my-name.html"]


def test_the_feeds_keep_their_ids_when_the_site_moves(tmp_path: Path) -> None:
    build_both(tmp_path, "", {"a.md": HEAD})
    before = feedparser.parse((tmp_path / "site" / "atom.xml").read_bytes())
    moved = 'SITEURL = "https://new.example.net"\nPOSTMERGE_FEED_IDS_URL = "https://blog.example.org"'
    editions.build(lay_out(tmp_path, moved, {"a.md": HEAD}))
    after = feedparser.parse((tmp_path / "site" / "atom.xml").read_bytes())
    assert [entry.id for entry in after.entries] == [entry.id for entry in before.entries]
    assert after.entries[0].link == "https://new.example.net/hello-world.html"


def test_paid_text_of_a_draft_is_on_no_page(tmp_path: Path) -> None:
    head = "Title: Paid\nDate: 2020-01-02\nStatus: draft\n\nFree.\n\n:::premium\nNobody may read this sentence for free.\n:::\n"
    editions.build(lay_out(tmp_path, "", {"a.md": head}))
    pages = [path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.html")]
    assert any("Free." in page for page in pages)
    assert not any("Nobody may read this" in page for page in pages)


def test_a_newsletters_configuration_from_before_the_setting_keeps_its_addresses_and_feeds(tmp_path: Path) -> None:
    config = 'SLUGIFY_SOURCE = "basename"\nPOSTMERGE_TAG_FEED_RSS = "feeds/tag/{slug}.rss.xml"'
    report = editions.build(lay_out(tmp_path, config, {"2020-my-name.md": HEAD}))
    assert report.editions[0].url.endswith("/2020-my-name.html")
    assert ",2026:issue/2020-my-name" in (tmp_path / "site" / "atom.xml").read_text("utf-8")


def test_a_setting_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="POSTMERGE_ADDRESSES is 'mine'"):
        editions.build(lay_out(tmp_path, 'POSTMERGE_ADDRESSES = "mine"', {"a.md": HEAD}))


def test_an_extension_that_cannot_be_loaded_is_named_instead_of_publishing_sources(tmp_path: Path) -> None:
    options = lay_out(tmp_path, 'MARKDOWN = {"extension_configs": {"missing_one": {}}}', {"a.md": HEAD})
    with pytest.raises(BadInput, match=r"MARKDOWN .* cannot be loaded .*missing_one.*: install it"):
        editions.build(options)
