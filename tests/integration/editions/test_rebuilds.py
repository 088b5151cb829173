"""A rebuild writes what a build from nothing writes, whatever changed, and renders no page again that stays the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mailer import editions
from mailer.core.errors import BadInput
from mailer.editions.site.incremental_writer import ThriftyWriter
from tests.integration.editions.test_editions import NewsletterFolder, differences

MADE = 'class Made:\n    __str__ = lambda self: "/x"\nAPI_URL = Made()\n'
CONFIG = """
POSTMERGE_SEARCH = False
POSTMERGE_AUTHORS = {"Ada": {"url": "https://ada.example", "picture": "images/ada.png"}}
"""
PLUGIN = """
from pelican import signals

def register():
    signals.content_object_init.connect(change)

def change(content):  # other tests have no such plugin, and the same process
    if "mine" in content.settings["PLUGINS"] and hasattr(content, "title"):
        content.title = content.title.upper()
"""
ISSUES = {
    "one": "Title: One\nDate: 2026-11-01 09:00\nTags: python\nAuthor: Ada",
    "two": "Title: Two\nDate: 2026-11-02 09:00\nTags: python, sql\nCover: images/chart.png\nCover-Alt: A chart",
    "zwei": "Title: Zwei\nDate: 2026-11-02 09:00\nLang: de\nSlug: two\nTranslation: true",
    "three": "Title: Three\nDate: 2026-11-03 09:00\nAuthor: Ada",
    "four": "Title: Four\nDate: 2026-11-04 09:00",
    "five": "Title: Five\nDate: 2026-11-05 09:00\nAudio: https://x.example/five.mp3",
}
BODIES = {
    "one": "![A chart]({static}/images/chart.png)\n\nRead [the next one]({filename}two.md).\n",
    "four": "Free words.\n\n:::premium\nWords that only paying subscribers may read here.\n:::\n",
}


class FullNewsletter(NewsletterFolder):
    """A newsletter with two languages, an author, a cover, paid text and a page."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.append("pelicanconf.py", CONFIG)
        Image.new("RGB", (64, 64), "red").save(folder / "content/images/ada.png")
        Image.new("RGB", (64, 32), "blue").save(folder / "content/images/chart.png")
        for name, head in ISSUES.items():
            self.write(f"{name}.md", head, BODIES.get(name, f"The text of {name}.\n"))
        (folder / "content/pages").mkdir()
        (folder / "content/pages/about.md").write_text("Title: About\n\nWho we are.\n")

    def append(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(path.read_text() + text)

    def swap(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def edit(self, issue: str, old: str, new: str) -> None:
        self.swap(f"content/issues/{issue}.md", old, new)

    def paint(self, name: str) -> None:
        Image.new("RGB", (90, 50), "green").save(self.folder / "content/images" / name)

    def rename_linked(self) -> None:
        self.rename("two", "second")
        self.edit("one", "two.md", "second.md")

    def add_plugin(self) -> None:
        (self.folder / "mine.py").write_text(PLUGIN)
        self.append("pelicanconf.py", 'PLUGINS = [*PLUGINS, "mine"]\n')

    def rename(self, old: str, new: str) -> None:
        (self.issues / f"{old}.md").rename(self.issues / f"{new}.md")


EDITS: dict[str, Callable[[FullNewsletter], Any]] = {
    "nothing": lambda one: None,
    "a text": lambda one: one.append("content/issues/three.md", "\nMore.\n"),
    "a title": lambda one: one.edit("three", "Three", "Third"),
    "a title of a translated issue": lambda one: one.edit("two", "Title: Two", "Title: Second"),
    "a title of a translation": lambda one: one.edit("zwei", "Title: Zwei", "Title: Zweitens"),
    "a date, and so the order": lambda one: one.edit("three", "2026-11-03", "2026-11-09"),
    "a correction": lambda one: one.edit("three", "Title:", "Corrected: 2026-11-10 A number\nTitle:"),
    "a tag": lambda one: one.edit("two", "sql", "rust"),
    "a tag's spelling": lambda one: one.edit("two", "python", "Python"),
    "an author": lambda one: one.edit("three", "Author: Ada", "Author: Grace"),
    "an author's address": lambda one: one.swap("pelicanconf.py", "https://ada.example", "https://ada.example/new"),
    "an author's picture": lambda one: one.paint("ada.png"),
    "a cover's picture": lambda one: one.paint("chart.png"),
    "a cover": lambda one: one.edit("two", "Cover: images/chart.png", "Cover: images/ada.png"),
    "a cover's description": lambda one: one.edit("two", "A chart", "Another chart"),
    "a missing picture": lambda one: (one.folder / "content/images/chart.png").unlink(),
    "a language": lambda one: one.edit("three", "Title:", "Lang: fr\nTitle:"),
    "a deleted translation": lambda one: (one.issues / "zwei.md").unlink(),
    "a deleted issue": lambda one: (one.issues / "three.md").unlink(),
    "a new issue": lambda one: one.write("six.md", "Title: Six\nDate: 2026-11-06 09:00\nTags: sql"),
    "a renamed issue": lambda one: one.rename("three", "drei"),
    "a renamed issue with a link to it": lambda one: one.rename_linked(),
    "a slug": lambda one: one.edit("three", "Title:", "Slug: third\nTitle:"),
    "a key": lambda one: one.edit("three", "Title:", "Id: third\nTitle:"),
    "a draft": lambda one: one.edit("three", "Title:", "Status: draft\nTitle:"),
    "a hidden issue": lambda one: one.edit("three", "Title:", "Status: hidden\nTitle:"),
    "access": lambda one: one.edit("three", "Title:", "Access: premium\nTitle:"),
    "paid text": lambda one: one.edit("four", "only paying", "nobody but paying"),
    "paid text that becomes free": lambda one: one.edit("four", ":::premium\n", ":::free\n"),
    "a preheader": lambda one: one.edit("three", "Title:", "Preheader: In short\nTitle:"),
    "a recording": lambda one: one.edit("five", "five.mp3", "5.mp3"),
    "a page": lambda one: one.swap("content/pages/about.md", "Title: About", "Title: About us"),
    "a new page": lambda one: (one.folder / "content/pages/rules.md").write_text("Title: Rules\n\nBe kind.\n"),
    "a template": lambda one: one.append("theme/templates/article.html", "<!-- {{ articles|length }} -->"),
    "a template that others extend": lambda one: one.swap("theme/templates/base.html", "</body>", "{{ tags|length }}</body>"),
    "a template of the email": lambda one: one.append("theme/templates/email/edition.html", "<!-- mine -->"),
    "a style sheet": lambda one: one.append("theme/static/css/base.css", "/* mine */"),
    "the site's name": lambda one: one.append("pelicanconf.py", 'SITENAME = "Another"\n'),
    "the site's language": lambda one: one.append("pelicanconf.py", 'DEFAULT_LANG = "de"\n'),
    "the zone": lambda one: one.append("pelicanconf.py", 'TIMEZONE = "Asia/Tokyo"\n'),
    "addresses": lambda one: one.append("pelicanconf.py", 'ARTICLE_URL = ARTICLE_LANG_URL = "i/{slug}/"\n'),
    "the addresses of tags": lambda one: one.append("pelicanconf.py", 'TAG_URL = "t/{slug}/"\n'),
    "places to share at": lambda one: one.append("pelicanconf.py", "POSTMERGE_SHARE = {}\n"),
    "the form's fields": lambda one: one.append("pelicanconf.py", 'POSTMERGE_FORM_FIELDS = [{"name": "a", "label": "A"}]\n'),
    "cards": lambda one: one.append("pelicanconf.py", "POSTMERGE_CARDS = False\n"),
    "a filter": lambda one: one.append("pelicanconf.py", 'JINJA_FILTERS = {"e": lambda text: "?"}\n'),
    "a global": lambda one: one.append("pelicanconf.py", 'JINJA_GLOBALS = {"count_minutes": lambda text: 99}\n'),
    "a setting that is a function": lambda one: one.append("pelicanconf.py", MADE),
    "the dialect": lambda one: one.append("pelicanconf.py", 'POSTMERGE_MARKDOWN = ""\n'),
    "a plugin": lambda one: one.add_plugin(),
}  # fmt: skip


@pytest.fixture
def newsletter(tmp_path: Path) -> FullNewsletter:
    return FullNewsletter(tmp_path)


@pytest.mark.parametrize("name", EDITS)
def test_a_rebuild_after_an_edit_writes_what_a_build_from_nothing_writes(newsletter: FullNewsletter, name: str) -> None:
    newsletter.build()
    EDITS[name](newsletter)
    again, cold = newsletter.build(), newsletter.build("cold")
    for folder in ("site", "editions"):
        assert differences(newsletter.folder / "build" / folder, newsletter.folder / "cold" / folder) == []
    assert (again.editions, again.findings) == (cold.editions, cold.findings)


@pytest.mark.parametrize(
    "change",
    [{"api_url": "https://api.example"}, {"sells": True}, {"sender": "Ada <a@x.example>"}, {"privacy_url": "https://x.example/p"},
     {"site_url": "https://other.example"}, {"postal_address": "2 Example Street"}, {"reply_to": "b@x.example"}],
)  # fmt: skip
def test_a_rebuild_with_another_environment_writes_what_a_build_from_nothing_writes(
    newsletter: FullNewsletter, change: Any
) -> None:
    newsletter.build()
    for into in ("build", "cold"):
        editions.build(replace(newsletter.options(into), **change))
    for folder in ("site", "editions"):
        assert differences(newsletter.folder / "build" / folder, newsletter.folder / "cold" / folder) == []


def test_a_page_that_was_changed_or_removed_in_the_site_is_rendered_again(newsletter: FullNewsletter) -> None:
    newsletter.build()
    site = newsletter.folder / "build/site/issues"
    page = site / "one/index.html"
    page.unlink()
    (site / "three/index.html").write_text("Something else")
    shutil.rmtree(site / "five")
    newsletter.build()
    newsletter.build("cold")
    assert differences(newsletter.folder / "build/site", newsletter.folder / "cold/site") == []


def test_an_edition_that_was_changed_is_written_again_from_the_cache_unless_that_is_damaged(newsletter: FullNewsletter) -> None:
    newsletter.build()
    newsletter.build("cold")
    for path in (newsletter.folder / "build/editions").glob("*.json"):
        path.write_text("{}")
    newsletter.build()
    assert differences(newsletter.folder / "build/editions", newsletter.folder / "cold/editions") == []
    for path in (newsletter.folder / "build/editions").glob("*.json"):
        path.unlink()
    next((newsletter.folder / "build/cache").rglob("*-email.json")).write_text("damaged")
    with pytest.raises(BadInput, match="A damaged file was removed"):
        newsletter.build()
    newsletter.build()
    assert differences(newsletter.folder / "build/editions", newsletter.folder / "cold/editions") == []


def test_only_the_pages_that_show_a_change_are_rendered_again(
    newsletter: FullNewsletter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    write = ThriftyWriter._write

    def note(self: ThriftyWriter, asked: Any) -> None:
        rendered.extend(name for name, _, named in asked if "article" in named)
        write(self, asked)

    monkeypatch.setattr(ThriftyWriter, "_write", note)
    newsletter.build()
    assert len(rendered) == len(ISSUES)
    rendered.clear()
    newsletter.build()
    assert rendered == []
    newsletter.append("content/issues/one.md", "\nMore.\n")
    newsletter.build()
    assert sorted(rendered) == ["issues/one/index.html", "issues/two/de/index.html", "issues/two/index.html"], (
        "with its neighbours"
    )
