"""Front matter as Hugo, Zola and Jekyll write it: TOML, and other names for our fields."""

from __future__ import annotations

import pytest

from mailer.editions.source.field_synonyms import add_synonyms
from mailer.editions.source.front_matter import split

TOML = """+++
title = "Hello: \\"you\\""
date = 2021-02-03T10:00:00+01:00
tags = ["one", "two"]
draft = false
[build]
render = "never"
+++

Text.
"""


def test_toml_gives_the_same_fields_as_our_own_front_matter_with_their_lines() -> None:
    source = split("a.md", TOML.encode())
    assert source.findings == []
    assert source.fields == {
        "title": 'Hello: "you"', "date": "2021-02-03T10:00:00+01:00", "tags": "one, two", "draft": "false",
        "build": "render: never",
    }  # fmt: skip
    assert (source.lines["title"], source.lines["tags"], source.lines["build"]) == (2, 4, 6)
    assert (source.body.strip(), source.body_line) == ("Text.", 9)


@pytest.mark.parametrize("head", ["title = \n", "a = 1\na = 2\n", "[" * 200 + "\n", "x = 99999-01-01\n"])
def test_toml_that_is_not_valid_is_an_error_and_no_traceback(head: str) -> None:
    source = split("a.md", f"+++\n{head}+++\nText.\n".encode())
    assert [one.level for one in source.findings] == ["error"]
    assert "not valid TOML" in source.findings[0].message


def test_plus_signs_without_an_end_are_text() -> None:
    assert split("a.md", b"+++\nText.\n").fields == {}


def test_other_names_fill_in_what_is_not_given() -> None:
    theirs = {"excerpt": "Short", "categories": "News, Old", "tags": "x, News", "aliases": "/a/, /b/", "permalink": "/c/"}
    assert add_synonyms(theirs) == {
        **theirs, "summary": "Short", "tags": "x, News, Old", "formerly": "/a/, /b/, /c/",
    }  # fmt: skip
    assert add_synonyms({"summary": "Ours", "description": "Theirs"})["summary"] == "Ours"


@pytest.mark.parametrize("value", ["false", "pretty", "/:year/:title/"])
def test_a_permalink_that_is_no_address_gives_no_redirect(value: str) -> None:
    assert "formerly" not in add_synonyms({"permalink": value, "title": "T"})


def test_fields_of_our_own_stay_as_they_are() -> None:
    ours = {"title": "T", "tags": "b, a", "formerly": "old, https://e.org/p/older", "summary": "S"}
    assert add_synonyms(ours) == ours
