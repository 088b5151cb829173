"""Every word on a page or in an email is there in every language, with the same things filled in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date

import pytest
from babel.messages.pofile import read_po

from api.common.error_responses import DATABASE_UNAVAILABLE, OTHER_PAGE, PAGES
from api.common.language import CHECK
from mailer.core import i18n
from tests.conftest import ROOT

EDITIONS = [
    f"mailer/editions/{name}.py"
    for name in ("mail/gmail_clipping", "mail/email_document", "source/paid_sections", "mail/plain_text")
]
PAID = [
    "api/web/paid_pages.py", "api/web/paid_issue_page.py",
    *(
        f"mailer/flows/billing/{name}.py"
        for name in ("checkout", "gifts", "billing_emails", "billing_text", "subscription_changes")
    ),
]  # fmt: skip
OTHERS = [lang for lang in i18n.LANGUAGES if lang != "en"]


def in_templates() -> Iterator[str]:
    paths = [*(ROOT / "api" / "templates").glob("*.html"), *(ROOT / "theme" / "templates").rglob("*.html")]
    for path in paths:
        yield from re.findall(r'_\(\s*"((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8"))


def in_buttons() -> Iterator[str]:
    """What stands on the buttons of our pages."""
    for path in (ROOT / "api" / "templates").glob("*.html"):
        render_page = path.read_text(encoding="utf-8")
        yield from re.findall(r'<button[^>]*>{{ _\("([^"]+)"\) }}</button>', render_page)
        yield from re.findall(r'{{ press\("\w+", _\("([^"]+)"\)\) }}', render_page)


def in_code() -> Iterator[str]:
    for name in (
        "api/common/form_challenge.py",
        "api/web/signup_pages.py",
        "api/web/preferences_page.py",
        *PAID,
        "mailer/flows/transactional/subscription_emails.py",
        *EDITIONS,
    ):
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            called = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and called in ("say", "localized_error"):
                first = node.args[1 if called == "localized_error" else 0]
                yield str(
                    first.value
                    if isinstance(first, ast.Constant)
                    else constants.get(getattr(first, "id", ""), DATABASE_UNAVAILABLE)
                )


def in_errors() -> Iterator[str]:
    for path in [*(ROOT / "api").rglob("*.py"), *(ROOT / "mailer").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Mistyped", "TooManyRequests"):
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
                yield str(node.args[0].value)


ON_ERROR_PAGES = {text for texts in [*PAGES.values(), OTHER_PAGE] for text in texts}
TEXTS = sorted({*in_templates(), *in_code(), *in_errors(), *ON_ERROR_PAGES, CHECK, DATABASE_UNAVAILABLE})


def catalogue(lang: str) -> dict[str, str]:
    with (i18n.FOLDER / f"{lang}.po").open("rb") as file:
        return {str(one.id): str(one.string) for one in read_po(file, locale=lang) if one.id}


@pytest.mark.parametrize("lang", OTHERS)
def test_nothing_is_missing_and_nothing_is_left_over(lang: str) -> None:
    assert len(TEXTS) > 120
    assert sorted(catalogue(lang)) == TEXTS


@pytest.mark.parametrize("lang", OTHERS)
def test_what_is_filled_in_is_the_same(lang: str) -> None:
    for text, found in catalogue(lang).items():
        assert found.strip(), text
        assert set(re.findall(r"%\(\w+\)s", text)) == set(re.findall(r"%\(\w+\)s", found)), text
        assert "<" not in found
        assert "%" not in re.sub(r"%\(\w+\)s", "", found)


@pytest.mark.parametrize("lang", OTHERS)
def test_no_text_is_translated_twice(lang: str) -> None:
    source = (i18n.FOLDER / f"{lang}.po").read_text(encoding="utf-8")
    texts = ["".join(re.findall(r'"(.*)"', text)) for text in re.findall(r'^msgid ((?:".*"\n)+)', source, re.M)]
    assert len(texts) == len(TEXTS) + 1  # and the header
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("lang", OTHERS)
def test_the_words_on_buttons_are_short_in_every_language(lang: str) -> None:
    for text in sorted(set(in_buttons())):
        assert len(catalogue(lang)[text]) <= 30, text


def test_french_has_its_no_break_spaces() -> None:
    for text, found in catalogue("fr").items():
        assert not re.search(r" [;:?!»]|« ", found), text


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", "en"),
        ("de", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        ("xx, zh-Hans-CN;q=0.8, de;q=0.5", "zh"),
        ("de;q=0, es", "es"),
        ("frr, de;q=0.8", "de"),
        ("esu", "en"),
        ("de;q=rubbish, es;q=0.1", "es"),
        (",;q=,;;,\0", "en"),
        ("x" * 100_000, "en"),
    ],
)
def test_the_browsers_best_language_is_taken(header: str, lang: str) -> None:
    assert i18n.choose(header=header) == lang


def test_dates_are_written_in_the_language_of_the_page() -> None:
    when = date(2026, 11, 4)
    assert [i18n.day(when, lang) for lang in ("en", "de", "zh", "it")] == [
        "4 November 2026",
        "4. November 2026",
        "2026年11月4日",
        "4 November 2026",
    ]
    assert [i18n.short_day(when, lang) for lang in ("en", "de", "zh")] == ["4 Nov", "4. Nov.", "11月4日"]


def test_what_the_subscriber_chose_goes_first() -> None:
    assert i18n.choose("", "ES", header="de") == "es"
    assert i18n.choose("xx", header="de") == "de"
