"""What a subscriber sees names no command: those are for whoever runs the newsletter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.common.consent import make_consent
from api.common.language import PageLanguage, explain_error
from mailer.core import i18n
from mailer.core.errors import BadInput
from mailer.core.settings import Settings

ROOT = Path(__file__).parents[3]
_COMMAND = re.compile(r"\bpostmerge [a-z-]+|`make [a-z-]+|\b(?:STRIPE|AWS)_[A-Z_]+|`[a-z]+ [^`]+`")
_OPERATORS = {"desk.html", "docs.html", "ledger.html", "outbox.html", "email.html", "report.html"}  # pages of the operator


def list_texts() -> list[Path]:
    folders = ("api/templates", "theme/templates", "mailer/templates", "mailer/locale")
    every = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.*"))]
    found = [path for path in every if path.name not in _OPERATORS and path.parent.name != "desk"]
    assert len(found) > 20
    return found


@pytest.mark.parametrize("path", list_texts(), ids=lambda path: path.name)
def test_no_page_email_or_translation_for_subscribers_names_a_command(path: Path) -> None:
    said = re.sub(r"\{[#%].*?[#%]\}|<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert _COMMAND.findall(said) == []


@pytest.mark.parametrize("sentence", ["Run `postmerge migrate`.", "Nobody: postmerge subscribers list lists all."])
def test_an_error_for_the_operator_is_not_shown_to_a_visitor(sentence: str) -> None:
    language = PageLanguage("en", i18n.translator("en"))
    assert "postmerge" not in explain_error(language, BadInput(sentence))
    assert explain_error(language, BadInput("The colour is unknown.")) == "The colour is unknown."


@pytest.mark.parametrize(
    ("sender", "named"),
    [
        ("Anna <anna@example.org>", "The Letter by email from Anna."),
        ("The letter <anna@example.org>", "The Letter by email from anna@example.org."),
        ("anna@example.org", "The Letter by email from anna@example.org."),
    ],
)
def test_the_consent_names_the_newsletter_and_the_sender_and_neither_twice(sender: str, named: str) -> None:
    assert named in make_consent(Settings(sender=sender), "The Letter", i18n.translator("en")).text
