"""The list of licences is the one that the pinned requirements have."""

from __future__ import annotations

import pytest

from bench import licences


def test_the_page_of_licences_lists_every_pinned_requirement() -> None:
    assert len(licences.pins()) > 30
    assert licences.table() in licences.PAGE.read_text(encoding="utf-8"), "run `make licences`"


def test_no_requirement_is_without_a_licence() -> None:
    assert [name for name in licences.pins() if not licences.licence(name)] == []


@pytest.mark.parametrize("name", ["pelican", "unidecode", "dramatiq", "psycopg2-binary"])
def test_the_page_explains_each_copyleft_licence(name: str) -> None:
    prose = licences.PAGE.read_text(encoding="utf-8").partition(licences.BEGIN)[0].lower()
    assert name.removesuffix("-binary") in prose


def test_a_new_copyleft_licence_is_explained_before_it_is_pinned() -> None:
    known = {"docutils", "dramatiq", "feedgen", "pelican", "psycopg2-binary", "unidecode"}
    assert {name for name in licences.pins() if "GPL" in licences.licence(name)} == known
