"""An existing Pelican site takes the plugin with three lines, and keeps its own theme."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import feedparser
import pytest

from mailer import editions
from mailer.editions import BuildOptions
from tests.conftest import ROOT

URL = "https://blog.example.org"
CONFIG = f"""
AUTHOR = "Ada"
SITENAME = "An old blog"
SITEURL = "{URL}"
PATH = "content"
TIMEZONE = "Europe/Berlin"
DEFAULT_LANG = "en"
FEED_ALL_ATOM = "feeds/all.atom.xml"
CATEGORY_FEED_ATOM = "feeds/{{slug}}.atom.xml"
DEFAULT_PAGINATION = 10
THEME = "THE_THEME"
"""
THREE_LINES = """
PLUGINS = ["mailer.editions.plugin"]
FEED_ALL_RSS = "feeds/all.rss.xml"
POSTMERGE_FEED_ALL_JSON = "feeds/all.json"
"""


def old_blog(folder: Path, theme: str) -> Path:
    (folder / "content").mkdir(parents=True)
    text = "Title: Hello & welcome\nDate: 2026-11-01\nCategory: news\nTags: python\n\nSee [the *other*]({filename}two.md).\n"
    (folder / "content" / "one.md").write_text(text)
    (folder / "content" / "two.md").write_text(
        "Title: Two\nDate: 2026-11-02\nCategory: news\n\n<script>alert(1)</script>Text.\n"
    )
    config = folder / "pelicanconf.py"
    config.write_text(CONFIG.replace("THE_THEME", theme) + THREE_LINES)
    return config


@pytest.mark.parametrize("theme", ["simple", "notmyidea"])
def test_a_stock_theme_shows_the_body_of_the_email_and_its_digest(tmp_path: Path, theme: str) -> None:
    config = old_blog(tmp_path, theme)
    report = editions.build(
        BuildOptions(tmp_path / "content", tmp_path / "site", tmp_path / "editions", tmp_path / "cache", config)
    )
    assert [edition.url for edition in report.editions] == [f"{URL}/hello-welcome.html", f"{URL}/two.html"]
    assert [edition.key for edition in report.editions] == ["one", "two"]
    for edition in report.editions:
        page = (tmp_path / "site" / edition.url.rpartition("/")[2]).read_bytes().decode()
        match = re.search(r'<div data-receipt="[^"]+" data-digest="(\w{64})">(.*?)</div>', page, re.DOTALL)
        assert match, edition.key
        assert match[2] == edition.body
        assert match[1] == edition.digest == hashlib.sha256(match[2].encode()).hexdigest()
        assert "alert(1)" not in page
        assert 'role="presentation"' in edition.html
    made = json.loads((tmp_path / "site" / "feeds" / "all.json").read_text())
    read = feedparser.parse((tmp_path / "site" / "feeds" / "all.rss.xml").read_bytes(), sanitize_html=False)
    assert [item["title"] for item in made["items"]] == [entry.title for entry in read.entries] == ["Two", "Hello & welcome"]


def test_the_stock_pelican_command_builds_the_same_pages(tmp_path: Path) -> None:
    config = old_blog(tmp_path, "simple")
    editions.build(BuildOptions(tmp_path / "content", tmp_path / "site", tmp_path / "editions", tmp_path / "cache", config))
    command = [sys.executable, "-m", "pelican", "content", "-o", "stock", "-s", "pelicanconf.py", "-q"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("hello-welcome.html", "two.html", "index.html", "feeds/all.rss.xml", "sitemap.xml"):
        assert (tmp_path / "stock" / name).read_bytes() == (tmp_path / "site" / name).read_bytes(), name
