"""Plugins of an adopted site keep what they do: sites in other languages (as i18n_subsites), formulas (as render_math)."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blinker import ANY, Signal
from pelican import signals

from mailer import editions
from tests.integration.editions.test_adopted_sites import HEAD, build_both, lay_out, names, plain

# Both work as the real plugins do: the same signals, and what they change at each.
SUBSITES = """
from pelican import Pelican, signals
from pelican.settings import configure_settings

removed, started = [], []

def filter_languages(generator):
    lang = generator.settings["DEFAULT_LANG"]
    for one in [*generator.translations]:
        generator.translations.remove(one)
        removed.append(one)
    for one in [*generator.articles]:
        if one.lang != lang:
            generator.articles.remove(one)

def build_subsite(pelican):
    if pelican.settings["DEFAULT_LANG"] == "de" or started:
        return
    started.append(1)
    settings = {**pelican.settings, "DEFAULT_LANG": "de", "SITENAME": "Ein alter Blog", "STATIC_PATHS": [],
                "SITEURL": pelican.settings["SITEURL"] + "/de", "OUTPUT_PATH": pelican.settings["OUTPUT_PATH"] + "/de",
                "THEME_STATIC_DIR": "../theme", "THEME_STATIC_PATHS": []}
    Pelican(configure_settings(settings)).run()
    started.clear()

def register():
    signals.article_generator_pretaxonomy.connect(filter_languages)
    signals.get_writer.connect(build_subsite)
"""
FORMULAS = """
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString
from pelican import signals
from pelican.generators import ArticlesGenerator
import xml.etree.ElementTree as etree

class Formula(InlineProcessor):
    def handleMatch(self, match, data):
        made = etree.Element("span", {"class": "math"})
        made.text = AtomicString("\\\\(" + match[1] + "\\\\)")
        return made, match.start(0), match.end(0)

class Formulas(Extension):
    def extendMarkdown(self, md):
        md.inlinePatterns.register(Formula(r"\\$([^$]+)\\$", md), "formula", 186)

def add_extension(pelican):
    pelican.settings["MARKDOWN"].setdefault("extensions", []).append(Formulas())

def add_script(generators):
    for generator in generators:
        if isinstance(generator, ArticlesGenerator):
            for article in generator.articles:
                article._content += "<script>draw('formulas')</script>"

class Bare:
    def __init__(self, context, settings, path, theme, output_path, *more):
        pass

def add_generator(pelican):
    return Bare

def register():
    signals.get_generators.connect(add_generator)
    signals.initialized.connect(add_extension)
    signals.all_generators_finalized.connect(add_script)
"""


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path) -> Iterator[None]:
    """Write the plugins; afterwards disconnect them, for other tests build in this process too."""
    written = {"formulas": FORMULAS, "subsites": SUBSITES}
    for name, code in written.items():
        (tmp_path / f"{name}.py").write_text(code)
    yield
    for signal in (one for one in vars(signals).values() if isinstance(one, Signal)):
        for receiver in [*signal.receivers_for(ANY)]:
            if receiver.__module__ in written:
                signal.disconnect(receiver)
    for name in written:
        sys.modules.pop(name, None)


def settings_for(folder: Path, plugin: str) -> str:
    return f'PLUGIN_PATHS = ["{folder}"]\nPLUGINS = ["{plugin}"]'


LANGUAGES = {
    "a.md": f"{HEAD}Slug: hello\nLang: en\n",
    "a-de.md": "Title: Hallo\nDate: 2020-01-02\nSlug: hello\nLang: de\n",
    "b.md": "Title: English\nDate: 2020-01-03\nLang: en\n",
    "c.md": "Title: Deutsch\nDate: 2020-01-04\nLang: de\n",
}


def test_a_site_in_another_language_has_its_pages_and_one_issue_has_one_key(tmp_path: Path) -> None:
    report = build_both(tmp_path, settings_for(tmp_path, "subsites"), LANGUAGES)
    assert [one for one in report.findings if one.level == "error"] == []
    found = {one.key: (one.lang, one.url, [(part.name, part.url) for part in one.variants]) for one in report.editions}
    url = "https://blog.example.org"
    assert found == {
        "hello": ("en", f"{url}/hello.html", [("de", f"{url}/de/hello.html")]),
        "b": ("en", f"{url}/english.html", []),
        "c": ("de", f"{url}/de/deutsch.html", []),
    }
    stock, ours = tmp_path / "stock", tmp_path / "site"
    assert "de/hello.html" in names(stock)
    assert names(ours) - names(stock) == {"robots.txt", "sitemap.xml", "theme/js/subscribe.js"}
    assert names(stock) - names(ours) == set()
    for name in names(stock):
        if name.endswith(".html"):
            assert plain(ours / name) == plain(stock / name), name
    german = (ours / "de" / "hello.html").read_text("utf-8")
    assert f'data-digest="{report.editions[0].variants[0].digest}"' in german
    assert f"{url}/receipts/" in german


def test_a_translation_of_a_subsite_is_never_sent_alone(tmp_path: Path) -> None:
    files = {**LANGUAGES, "a-de.md": f"{LANGUAGES['a-de.md']}Send: yes\n"}
    report = editions.build(lay_out(tmp_path, settings_for(tmp_path, "subsites"), files))
    assert [(one.path, one.line) for one in report.findings if one.level == "error"] == [("content/a-de.md", 5)]
    assert {one.key: len(one.variants) for one in report.editions} == {"hello": 0, "b": 0, "c": 0}


@pytest.fixture
def another_thread() -> Iterator[None]:
    """Keep a thread beside the test, as a server or a progress display does; processes are then not forked."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.usefixtures("another_thread")
def test_formulas_are_converted_and_their_script_stays_on_the_page_alone(tmp_path: Path) -> None:
    files = {
        f"{number}.md": f"Title: T{number}\nDate: 2020-01-02\n\nWith $x^2_a + y_b$.\n\n    :::python\n    x = 1\n"
        for number in range(15)
    }
    report = build_both(tmp_path, settings_for(tmp_path, "formulas"), files)
    assert len(report.editions) == 15  # so many that they would be converted in several processes
    for one in report.editions:
        assert r'<span class="math">\(x^2_a + y_b\)</span>' in one.body
        assert '<div class="highlight">' in one.body
        assert "draw" not in one.html
    page, stock = (re.sub(r"</?div[^>]*>", "", plain(tmp_path / name / "t3.html")) for name in ("site", "stock"))
    assert page == stock
    assert "<script>draw('formulas')</script>" in page


def test_a_site_keeps_its_own_robots_and_sitemap(tmp_path: Path) -> None:
    config = 'STATIC_PATHS = ["extra"]\nEXTRA_PATH_METADATA = {"extra/robots.txt": {"path": "robots.txt"}}'
    files = {"a.md": HEAD, "extra/robots.txt": "# ours"}
    editions.build(lay_out(tmp_path, f'{config}\nTEMPLATE_PAGES = {{"map.xml": "sitemap.xml"}}', {**files, "map.xml": "# map"}))
    assert (tmp_path / "site" / "robots.txt").read_text().startswith("# ours")
    assert (tmp_path / "site" / "sitemap.xml").read_text().startswith("# map")


def test_a_function_in_the_settings_of_an_extension_is_used_for_many_issues(tmp_path: Path) -> None:
    files = {f"{number}.md": f"Title: T{number}\nDate: 2020-01-02\n\n## A heading\n" for number in range(15)}
    toc = '"markdown.extensions.toc": {"slugify": lambda text, sep: text.upper().replace(" ", sep)}'
    report = build_both(tmp_path, f'MARKDOWN = {{"extension_configs": {{{toc}}}}}', files)
    assert [one for one in report.findings if one.level == "error"] == []
    assert ['id="A-HEADING"' in one.body for one in report.editions] == [True] * 15
