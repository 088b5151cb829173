from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from mailer.editions.source.slugs import File, Slugs


def file(path: str, dated: str = "2026-11-01", lang: str = "en", slug: str = "") -> File:
    return File(Path(path), lang, slug, dated)


CASES: dict[str, tuple[list[File], dict[str, str]]] = {
    "index.md takes its folder's name": (
        [file("issues/2026-11/index.md"), file("issues/2026-10-late/index.md", "2026-11-09")],
        {"issues/2026-11/index.md": "2026-11", "issues/2026-10-late/index.md": "2026-10-late"},
    ),
    "of two files of one name the older issue keeps it": (
        [file("issues/2026/01.md", "2026-01-01"), file("issues/2025/01.md", "2025-01-01")],
        {"issues/2025/01.md": "01", "issues/2026/01.md": "2026-01"},
    ),
    "the order of paths does not matter": (
        [file("issues/a-new/x.md", "2026-11-09"), file("issues/b-old/x.md", "2026-11-01")],
        {"issues/b-old/x.md": "x", "issues/a-new/x.md": "a-new-x"},
    ),
    "translations in a bundle share their original's": (
        [file("issues/hello/index.md"), file("issues/hello/index.de.md", lang="de")],
        {"issues/hello/index.md": "hello", "issues/hello/index.de.md": "hello"},
    ),
    "a translation of one year is none of another year's issue": (
        [file("issues/2025/01.md", "2025-01-01"), file("issues/2026/01.md", "2026-01-01"),
         file("issues/2026/01.fr.md", "2026-01-01", "fr")],
        {"issues/2025/01.md": "01", "issues/2026/01.md": "2026-01", "issues/2026/01.fr.md": "2026-01"},
    ),
    "folders by language hold translations": (
        [file("issues/en/hello.md"), file("issues/de/hello.md", lang="de")],
        {"issues/en/hello.md": "hello", "issues/de/hello.md": "hello"},
    ),
    "a common Slug joins files of different names": (
        [file("issues/hello.md", slug="greet"), file("issues/hallo.md", lang="de", slug="greet")],
        {"issues/hello.md": "greet", "issues/hallo.md": "greet"},
    ),
    "a copied Slug stays the older issue's": (
        [file("issues/a-copy.md", "2026-11-09", slug="old"), file("issues/old.md", "2026-11-01", slug="old")],
        {"issues/old.md": "old", "issues/a-copy.md": "a-copy"},
    ),
    "a copied family stays together": (
        [file("issues/old.md", "2026-11-01", slug="old"), file("issues/alt.md", "2026-11-01", "de", "old"),
         file("issues/new.md", "2026-11-09", slug="old"), file("issues/new.de.md", "2026-11-09", "de", "old")],
        {"issues/old.md": "old", "issues/alt.md": "old", "issues/new.md": "new", "issues/new.de.md": "new"},
    ),
    "an issue whose date cannot be read comes last": (
        [file("issues/a/x.md", ""), file("issues/b/x.md", "2026-11-01")],
        {"issues/b/x.md": "x", "issues/a/x.md": "a-x"},
    ),
    "three of one name and folder have numbers": (
        [file("x.md"), file("x.markdown"), file("x.mkd")], {"x.markdown": "x", "x.md": "x-2", "x.mkd": "x-3"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_slugs_follow_from_what_the_files_say(name: str) -> None:
    files, expected = CASES[name]
    for order in permutations(files):
        assert {str(path): slug for path, slug in Slugs().place_all(order).items()} == expected


def test_where_languages_make_no_families_every_file_has_a_slug_of_its_own() -> None:
    placed = Slugs(by_language=False).place_all([file("a/x.md"), file("a/x.de.md", lang="de")])
    assert sorted(placed.values()) == ["a-x", "x"]


def test_a_file_that_is_read_again_keeps_its_slug() -> None:
    slugs = Slugs()
    slugs.place_all([file("issues/hello.md"), file("issues/hello.de.md", lang="de")])
    assert slugs.place(file("issues/hello.de.md", lang="de")) == "hello"
    assert slugs.place(file("issues/hello.md", slug="greet")) == "greet"
