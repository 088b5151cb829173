"""Every word on a page or in an email is there in every language, with the same things filled in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from bench import catalogues as made
from mailer.core import i18n
from mailer.core.i18n import catalogues
from tests.conftest import ROOT

OTHERS = [lang for lang in i18n.LANGUAGES if lang != "en"]
FILES = sorted(catalogues.FOLDER.glob("*.po*"))


def texts(lang: str) -> list[tuple[Message, str, str]]:
    """List each text of a catalogue: its message, the English and the translation; a plural has several."""
    found = []
    for one in catalogues.read(catalogues.FOLDER / f"{lang}.po", lang):
        if isinstance(one.id, str) and one.id:
            found.append((one, one.id, str(one.string)))
        elif one.id:
            found += [(one, one.id[-1], str(text)) for text in one.string or ()]
    return found


def in_buttons() -> Iterator[str]:
    """What stands on the buttons of our pages."""
    for path in (ROOT / "api" / "templates").glob("*.html"):
        render_page = path.read_text(encoding="utf-8")
        yield from re.findall(r'<button[^>]*>{{ _\("([^"]+)"\) }}</button>', render_page)
        yield from re.findall(r'{{ press\("\w+", _\("([^"]+)"\)\) }}', render_page)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_catalogue_has_exactly_the_texts_of_pages_and_emails(path: Path) -> None:
    template = made.collect()
    assert len(template) > 300
    wanted = template if path == catalogues.TEMPLATE else made.update(path.stem, template)
    assert made.essence(path.read_text(encoding="utf-8")) == made.essence(made.write(wanted)), "run `make catalogues`"


@pytest.mark.skipif(not shutil.which("msgfmt"), reason="gettext is not installed")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_msgfmt_accepts_every_catalogue(path: Path) -> None:
    checked = subprocess.run(["msgfmt", "--check", "-o", os.devnull, path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert path == catalogues.TEMPLATE or not checked.stderr


@pytest.mark.parametrize("lang", OTHERS)
def test_what_is_filled_in_is_the_same(lang: str) -> None:
    for one, text, found in texts(lang):
        assert found.strip(), text
        filled, wanted = set(re.findall(r"%\(\w+\)s", found)), set(re.findall(r"%\(\w+\)s", text))
        assert filled == wanted or (one.pluralizable and filled == wanted - {"%(number)s"}), text
        assert "<" not in found
        assert "%" not in re.sub(r"%\(\w+\)s", "", found)


@pytest.mark.parametrize("lang", OTHERS)
def test_no_text_is_translated_twice(lang: str) -> None:
    source = (catalogues.FOLDER / f"{lang}.po").read_text(encoding="utf-8")
    entries = re.findall(r'^((?:msgctxt ".*"\n)?)msgid ((?:".*"\n)+)', source, re.M)
    ids = [(context, "".join(re.findall(r'"(.*)"', text))) for context, text in entries]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("lang", OTHERS)
def test_the_words_on_buttons_are_short_in_every_language(lang: str) -> None:
    say = i18n.translator(lang)
    for text in sorted(set(in_buttons())):
        assert len(say(text)) <= 30, text


def test_french_has_its_no_break_spaces() -> None:
    for _, text, found in texts("fr"):
        assert not re.search(r" [;:?!»]|« ", found), text


@pytest.mark.parametrize(("number", "said"), [(0, "0 issues"), (1, "1 issue"), (2, "2 issues")])
def test_a_number_chooses_the_form_of_its_noun(number: int, said: str) -> None:
    assert i18n.translator("en").ngettext("1 issue", "%(number)s issues", number) == said
    assert i18n.translator("fr").ngettext("1 issue", "%(number)s issues", 0) == "0 numéro"


def test_the_same_word_has_a_translation_for_each_context() -> None:
    say = i18n.translator("fr")
    assert (say.pgettext("issue", "Earlier"), say.pgettext("nowhere", "Earlier")) == ("Plus ancien", "Earlier")


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
        ("de-CH-1996, fr", "de"),
        ("de-x-private, fr", "de"),
        ("zh-TW, es;q=0.5", "es"),
        ("zh-Hant-HK, zh-HK, fr;q=0.1", "fr"),
        ("zh-TW, zh;q=0.9, en;q=0.8", "zh"),
        ("zh-CN", "zh"),
        ("zh-Hans-SG", "zh"),
        ("den, frr, esu", "en"),
        ("-, x-y, a-b-c, de_AT", "de"),
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
