"""The theme's pages are valid HTML: no parse error, no id twice, no reference into the void, alternative texts."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from lxml import html
from tinyhtml5.parser import HTMLParser

from mailer import editions
from mailer.editions import BuildOptions
from tests.conftest import ROOT

LABELLED = ("aria-labelledby", "aria-describedby", "for")
VOID_LAYOUT = {"center", "font", "big", "tt", "strike", "marquee"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("markup")
    options = BuildOptions(
        ROOT / "content",
        folder / "site",
        folder / "editions",
        folder / "cache",
        ROOT / "pelicanconf.py",
        "https://news.example.org",
    )
    editions.build(options)
    return folder / "site"


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html"))


def test_no_page_has_a_parse_error(site: Path) -> None:
    assert len(pages(site)) > 15
    for path in pages(site):
        parser = HTMLParser()
        parser.parse(path.read_text(encoding="utf-8"))
        assert [(str(path), place, name) for place, name, _ in parser.errors] == []


def test_ids_are_unique_and_references_have_a_target(site: Path) -> None:
    for path in pages(site):
        root = html.document_fromstring(path.read_bytes())
        ids = Counter(element.get("id") for element in root.iter() if element.get("id"))
        assert [name for name, times in ids.items() if times > 1] == [], path
        wanted = [word for element in root.iter() for key in LABELLED for word in (element.get(key) or "").split()]
        wanted += [(e.get("href") or "")[1:] for e in root.iter("a") if (e.get("href") or "").startswith("#")]
        assert [word for word in wanted if word not in ids] == [], path


def test_pages_say_what_they_must(site: Path) -> None:
    for path in pages(site):
        text = path.read_text(encoding="utf-8")
        root = html.document_fromstring(text.encode())
        assert re.match(r"\s*<!DOCTYPE html>", text), path
        lang = "de" if path.parent.name == "de" else "en"
        assert (root.get("lang"), root.get("dir")) == (lang, "ltr"), path
        assert len(list(root.iter("h1"))) == 1 == len(list(root.iter("main"))), path
        assert all(image.get("alt") is not None for image in root.iter("img")), path
        assert all(button.get("type") for button in root.iter("button")), path
        assert VOID_LAYOUT.isdisjoint({str(element.tag) for element in root.iter()}), path
        assert all(element.get("style") is None for element in root.iter()), path
