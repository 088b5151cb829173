"""The build names a newsletter's copy of one of our templates once ours has changed, and a typeface that its theme lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mailer import editions
from mailer.core.edition import Finding
from mailer.editions import BuildOptions
from tests.conftest import ROOT

OURS = ROOT / "theme" / "templates"
CONFIG = """
from mailer.defaults import *
SITENAME, SITEURL, AUTHOR = "News", "https://news.example.org", "Ada"
THEME_TEMPLATES_OVERRIDES = ["templates"]
"""


def build(folder: Path, more: str = "") -> list[Finding]:
    """Build a newsletter with one issue; return what the build found."""
    (folder / "content").mkdir(exist_ok=True)
    (folder / "content" / "one.md").write_text("Title: One\nDate: 2026-11-01\n\nText.\n")
    (folder / "pelicanconf.py").write_text(CONFIG + more)
    options = BuildOptions(folder / "content", folder / "site", folder / "editions", None, folder / "pelicanconf.py")
    return list(editions.build(options).findings)


def copy(folder: Path, name: str, old: str = "", new: str = "") -> None:
    """Copy one of our templates into the newsletter, with one text in it replaced."""
    target = folder / "templates" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (OURS / name).read_text(encoding="utf-8")
    target.write_text(text.replace(old, new), encoding="utf-8")


def test_a_copy_of_an_older_version_is_named_with_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy(tmp_path, "email/edition.html", "version 0.3.0", "version 0.2.9")
    copy(tmp_path, "page.html")
    [found] = build(tmp_path)
    assert (found.level, found.path, found.line) == ("warning", "templates/email/edition.html", 1)
    assert found.message == "This template is of version 0.2.9, and ours is of 0.3.0: UPGRADING.md says what changed."


def test_nothing_is_said_about_a_template_that_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text("<p>{{ page.content }}</p>\n")
    shutil.copy(OURS / "tags.html", tmp_path / "templates")
    assert build(tmp_path) == []


def test_a_typeface_that_is_missing_is_named_once_with_its_style_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "theme", tmp_path / "theme")
    assert build(tmp_path, 'THEME = "theme"\n') == []
    (tmp_path / "theme/static/fonts/literata.woff2").unlink()
    [found] = build(tmp_path, 'THEME = "theme"\n')
    assert (found.level, found.path) == ("warning", "theme/static/css/base.css")
    assert found.message == (
        "The typeface ../fonts/literata.woff2 is missing, so pages show the system's: add the file, or remove the rule."
    )


def test_each_of_our_templates_has_its_version_in_the_first_line() -> None:
    for path in OURS.rglob("*.html"):
        assert path.read_text(encoding="utf-8").startswith("{#- Postmerge template, version "), path
