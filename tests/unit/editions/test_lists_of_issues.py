"""What the theme's lists say of an issue beside its title."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from mailer.core import i18n
from mailer.editions.mail import email_document
from mailer.editions.site import articles
from tests.conftest import ROOT

ADA = SimpleNamespace(name="Ada & Co", url="https://example.org/", picture="https://example.org/a.png")
BEN = SimpleNamespace(name="Ben", url="", picture="")


def facts(article: dict[str, Any], lang: str = "en") -> str:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT / "theme" / "templates"), autoescape=False)
    environment.globals.update(
        words_in=email_document.make_say, spoken=i18n.spoken, direction=i18n.direction, count_minutes=articles.count_minutes
    )
    return str(environment.get_template("entries.html").module.facts(SimpleNamespace(**article), lang)).strip()  # type: ignore[attr-defined]


def test_an_issue_that_says_nothing_about_itself_has_no_line() -> None:
    assert facts({}) == facts({"body_html": '<p class="locked">Paid.</p>', "postmerge_authors": ()}) == ""


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "1 minute to read"), ("de", "1 Minute Lesezeit"), ("ar", "1 minute to read")]
)
def test_the_time_to_read_is_in_the_lists_language(lang: str, said: str) -> None:
    spoken = "en" if lang == "ar" else lang
    assert facts({"body_html": "<p>Short.</p>"}, lang) == f'<p class="facts"><span lang="{spoken}" dir="ltr">{said}</span></p>'


def test_authors_are_named_with_their_pictures() -> None:
    line = facts({"body_html": "<p>Short.</p>", "postmerge_authors": (ADA, BEN)})
    assert 'src="https://example.org/a.png" alt="" width="24" height="24"' in line
    assert "<bdi>Ada &amp; Co</bdi>, <bdi>Ben</bdi>&#160;· <span" in line
    assert line.count("<img") == 1
