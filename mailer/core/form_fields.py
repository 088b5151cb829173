"""The sign-up form's own fields, such as name and company: declared in ``pelicanconf.py``, kept as a subscriber's metadata."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailer.core.errors import BadInput, Mistyped

PREFIX = "metadata__"  # of the names in forms, as at Buttondown
DEFAULT_MAX_CHARS, MAX_CHARS = 200, 1000  # of an answer
MAX_FIELDS = 20
MAX_METADATA_CHARS = 16_000  # of JSON
MAX_METADATA_DEPTH = 6  # objects and lists inside each other
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_KEYS = {"name", "label", "choices", "required", "max_chars"}


@dataclass(frozen=True)
class FormField:
    """A field. ``labels`` by language; the one of '' is for all others. With ``choices`` the answer is one of them."""

    name: str
    labels: Mapping[str, str]
    choices: tuple[str, ...] = ()
    required: bool = False
    max_chars: int = DEFAULT_MAX_CHARS

    @property
    def input_name(self) -> str:
        """The name in forms."""
        return PREFIX + self.name

    def label(self, lang: str) -> str:
        """Return the label in a language (``de-AT``), else in its base, else the first one."""
        code = lang.lower().replace("_", "-")
        found = self.labels.get(code) or self.labels.get(code.partition("-")[0]) or self.labels.get("")
        return found or next(iter(self.labels.values()))


def read_fields(declared: Any) -> tuple[FormField, ...]:
    """Read POSTMERGE_FORM_FIELDS: a list of dictionaries. Raises BadInput that names what to correct."""
    if not isinstance(declared, list | tuple | None) or len(declared or ()) > MAX_FIELDS:
        raise BadInput(f"POSTMERGE_FORM_FIELDS in pelicanconf.py must be a list of at most {MAX_FIELDS} fields.")
    fields = tuple(_read_field(one) for one in declared or ())
    if len({field.name for field in fields}) < len(fields):
        raise BadInput("POSTMERGE_FORM_FIELDS has two fields of one name: give each a name of its own.")
    return fields


def _read_field(one: Any) -> FormField:
    if not isinstance(one, dict) or not _NAME.fullmatch(str(one.get("name", ""))) or set(one) - _KEYS:
        raise BadInput(
            f"POSTMERGE_FORM_FIELDS contains {str(one)[:80]!r}: write"
            ' {"name": "company", "label": "Company"}, with a name of lowercase letters, digits, - and _,'
            f" and only the keys {', '.join(sorted(_KEYS))}."
        )
    label, choices, most = one.get("label", one["name"]), one.get("choices", ()), one.get("max_chars", DEFAULT_MAX_CHARS)
    labels: dict[str, Any] = (
        {str(lang).lower(): text for lang, text in label.items()} if isinstance(label, dict) else {"": label}
    )
    texts = [*labels.values(), *(choices if isinstance(choices, list | tuple) else [0])]
    if not labels or not all(isinstance(text, str) and text.strip() for text in texts):
        raise BadInput(f"The field {one['name']!r} of POSTMERGE_FORM_FIELDS needs texts as its label and choices.")
    if not isinstance(most, int) or not 1 <= most <= MAX_CHARS:
        raise BadInput(f"max_chars of the field {one['name']!r} of POSTMERGE_FORM_FIELDS must be from 1 to {MAX_CHARS}.")
    return FormField(one["name"], labels, tuple(choices), bool(one.get("required")), most)


def check_answers(fields: Sequence[FormField], given: Mapping[str, str], lang: str) -> dict[str, str]:
    """Return the answers by field name, without empty ones. ``given`` is by name. Raises Mistyped with a sentence."""
    if set(given) - {field.name for field in fields}:
        raise Mistyped("This form has a field we don’t know. Open our own form and subscribe there.", field="form")
    answers = {field.name: _check_answer(field, given.get(field.name, ""), lang) for field in fields}
    return {name: answer for name, answer in answers.items() if answer}


def check_known(fields: Sequence[FormField], metadata: Mapping[str, Any]) -> None:
    """Check those of a subscriber's metadata that are declared as fields. Raises Mistyped with a sentence and the field.

    Other names are free, and a required field may be missing: a program knows less than the person who fills in the form.
    """
    declared = {field.name: field for field in fields}
    for name, value in metadata.items():
        if (field := declared.get(name)) and value is not None:
            if not isinstance(value, str):
                exactly = f"The metadata {name!r} is declared as a field of the form: its value must be a string."
                raise Mistyped("“%(label)s” contains characters we can’t use.", exactly, label=field.label("en"))
            _check_answer(replace(field, required=False), value, "en")


def _check_answer(field: FormField, text: str, lang: str) -> str:
    label, answer = field.label(lang), " ".join(text.split())
    if not answer and field.required:
        raise Mistyped("Please fill in “%(label)s”.", field=field.input_name, label=label)
    if len(answer) > field.max_chars:
        raise Mistyped(
            "“%(label)s” is too long. Please use at most %(number)s characters.",
            field=field.input_name, label=label, number=field.max_chars,
        )  # fmt: skip
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in answer):
        raise Mistyped("“%(label)s” contains characters we can’t use.", field=field.input_name, label=label)
    if answer and field.choices and answer not in field.choices:
        raise Mistyped("Please choose one of the options for “%(label)s”.", field=field.input_name, label=label)
    return answer


def is_storable(metadata: Mapping[str, Any]) -> bool:
    """Whether a subscriber can have this metadata: not too deep, not too long, without NUL."""
    if _get_depth(metadata, MAX_METADATA_DEPTH + 1) > MAX_METADATA_DEPTH:
        return False
    try:
        text = json.dumps(metadata, ensure_ascii=False)
    except (TypeError, ValueError):
        return False
    return len(text) <= MAX_METADATA_CHARS and "\\u0000" not in text


def _get_depth(value: object, limit: int) -> int:
    """How many objects and lists are inside each other; counts no further than ``limit``."""
    if not isinstance(value, Mapping | list) or not limit:
        return 0
    inner = value.values() if isinstance(value, Mapping) else value
    return 1 + max((_get_depth(one, limit - 1) for one in inner), default=0)
