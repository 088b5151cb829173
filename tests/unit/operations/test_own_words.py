"""A newsletter's own ``words/LANG.po`` overrides any text of pages and emails, and may add a language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailer.checks import own_words
from mailer.core import i18n

HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    i18n.use_words(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(HEAD + text, encoding="utf-8")
        return path

    yield write
    i18n.use_words(Path("words"))


def test_the_writers_own_text_takes_precedence_and_the_others_stay(write: Write) -> None:
    write("de.po", 'msgid "Unsubscribe"\nmsgstr "Tschüss"\n')
    say = i18n.translator("de")
    assert (say("Unsubscribe"), say("Subscribe")) == ("Tschüss", "Abonnieren")


def test_english_texts_and_plurals_can_be_overridden_too(write: Write) -> None:
    write(
        "en.po", 'msgid "1 issue"\nmsgid_plural "%(number)s issues"\nmsgstr[0] "one letter"\nmsgstr[1] "%(number)s letters"\n'
    )
    say = i18n.translator("en")
    assert [say.ngettext("1 issue", "%(number)s issues", number) for number in (1, 2)] == ["one letter", "2 letters"]


def test_a_change_is_seen_without_a_restart(write: Write) -> None:
    path = write("fr.po", 'msgid "Unsubscribe"\nmsgstr "Adieu"\n')
    assert i18n.translator("fr")("Unsubscribe") == "Adieu"
    path.unlink()
    assert i18n.translator("fr")("Unsubscribe") == "Se désabonner"


def test_a_new_language_is_offered_and_falls_back_on_wider_ones(write: Write) -> None:
    write("pt.po", 'msgid "Unsubscribe"\nmsgstr "Cancelar"\n\nmsgid "Save"\nmsgstr "Guardar"\n')
    write("pt_BR.po", 'msgid "Save"\nmsgstr "Salvar"\n')
    say = i18n.translator("pt-BR")
    assert [say(text) for text in ("Save", "Unsubscribe", "Subscribe")] == ["Salvar", "Cancelar", "Subscribe"]
    assert i18n.languages()["pt-br"] == "Português (Brasil)"
    chosen = {"pt-BR": "pt-br", "pt-PT, en": "pt", "pt_BR": "pt-br", "fr, pt": "fr"}
    assert {header: i18n.choose(header=header) for header in chosen} == chosen


def test_a_broken_placeholder_never_breaks_a_page(write: Write) -> None:
    write("de.po", 'msgid "Paused until %(date)s."\nmsgstr "Pause bis %(datum)s, 100 %."\n')
    assert i18n.translator("de")("Paused until %(date)s.", date="morgen") == "Pausiert bis morgen."


@pytest.mark.parametrize("text", ["msgid oops", "\udcff", 'msgid "open'])
def test_an_unreadable_file_never_breaks_a_page_and_is_named(write: Write, text: str) -> None:
    path = write("de.po", "")
    path.write_bytes((HEAD + text).encode("utf-8", "surrogateescape"))
    assert i18n.translator("de")("Save") == "Speichern"
    [remark] = own_words.examine([path])
    assert (remark.id, remark.level, remark.path) == ("words-invalid", "error", str(path))


def test_check_names_unknown_texts_and_wrong_placeholders_at_their_line(write: Write) -> None:
    path = write(
        "de.po",
        'msgid "No such text"\nmsgstr "Nein"\n\nmsgid "Paused until %(date)s."\nmsgstr "Pause bis %(datum)s."\n\n'
        'msgctxt "colours"\nmsgid "Dark"\nmsgstr "Duster"\n\nmsgid "Dark"\nmsgstr "Finster"\n',
    )
    assert [(one.id, one.line) for one in own_words.examine([path])] == [
        ("words-unknown", 5),
        ("words-invalid", 8),
        ("words-unknown", 15),
    ]
    assert [one.line for one in own_words.examine([path], skip=["words-unknown"])] == [8]


@pytest.mark.parametrize("lang", ["ar", "fa", "he", "ur", "dv", "ckb", "uz-Arab", "pa-PK"])
def test_languages_written_from_right_to_left_have_that_direction(lang: str) -> None:
    assert i18n.direction(lang) == "rtl"


@pytest.mark.parametrize("lang", ["en", "de-AT", "zh-Hant", "ru", "az", "pa", "", "ar-Latn", "xx"])
def test_all_others_run_from_left_to_right(lang: str) -> None:
    assert i18n.direction(lang) == "ltr"
