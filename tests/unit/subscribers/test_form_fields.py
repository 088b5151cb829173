"""The sign-up form's own fields: what may be declared, and what may be answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailer import editions
from mailer.core.errors import BadInput, Mistyped
from mailer.core.form_fields import MAX_FIELDS, check_answers, read_fields

FIELDS = read_fields(
    [
        {"name": "name", "label": {"en": "Your name", "de": "Ihr Name"}, "required": True, "max_chars": 10},
        {"name": "company", "label": "Company"},
        {"name": "role", "choices": ["Editor", "Engineer"]},
    ]
)


def test_fields_are_read_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "pelicanconf.py"
    assert editions.form_fields(config) == ()
    config.write_text('POSTMERGE_FORM_FIELDS = [{"name": "company", "label": "Company"}]\n')
    [field] = editions.form_fields(config)
    assert (field.input_name, field.label("de")) == ("metadata__company", "Company")
    assert (field.required, field.max_chars) == (False, 200)


@pytest.mark.parametrize(("lang", "label"), [("en", "Your name"), ("de-AT", "Ihr Name"), ("fr", "Your name")])
def test_a_label_is_in_the_language_of_the_page_or_the_first(lang: str, label: str) -> None:
    assert FIELDS[0].label(lang) == label


@pytest.mark.parametrize(
    "declared",
    [
        "name",
        ["name"],
        [{"label": "Name"}],
        [{"name": "Full Name"}],
        [{"name": "x", "size": 3}],
        [{"name": "x", "label": 1}],
        [{"name": "x", "label": {}}],
        [{"name": "x", "choices": "ab"}],
        [{"name": "x", "choices": [1]}],
        [{"name": "x", "max_chars": 0}],
        [{"name": "x", "max_chars": 1001}],
        [{"name": "x"}, {"name": "x"}],
        [{"name": f"x{number}"} for number in range(MAX_FIELDS + 1)],
    ],
)
def test_a_declaration_that_is_wrong_is_refused_by_name(declared: Any) -> None:
    with pytest.raises(BadInput, match="POSTMERGE_FORM_FIELDS"):
        read_fields(declared)


def test_answers_are_on_one_line_and_empty_ones_are_left_out() -> None:
    given = {"name": "  Ada \n Byron ", "company": " ", "role": "Editor"}
    assert check_answers(FIELDS, given, "en") == {"name": "Ada Byron", "role": "Editor"}
    assert check_answers(FIELDS, {"name": "👩‍💻 نام‌ها"}, "en") == {"name": "👩‍💻 نام‌ها"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "Ada", "age": "36"}, "a field we don’t know"),
        ({}, "Please fill in “Ihr Name”."),
        ({"name": "x" * 11}, "at most 10 characters"),
        ({"name": "Ada", "company": "a\0b"}, "characters we can’t use"),
        ({"name": "Ada", "company": "\ud800"}, "characters we can’t use"),
        ({"name": "Ada", "role": "Boss"}, "one of the options for “role”"),
    ],
)
def test_an_answer_that_cannot_be_kept_is_refused_with_a_sentence(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(Mistyped, match=sentence):
        check_answers(FIELDS, given, "de")
