"""What a check prints cannot do more than be read: GitHub takes lines of a log for commands."""

from __future__ import annotations

import pytest

from mailer.checks.output import as_github
from mailer.checks.registry import Remark

NASTY = ["\n::set-output name=x::y", "\r::stop-commands::z", "\r\n::add-mask::a", "100 %", "%0A::error::", ",file=other", ":x"]


def lines(message: str = "Wrong.", path: str = "content/a.md") -> list[str]:
    return as_github([Remark("placeholder", "error", path, 7, 1, message, None)]).replace("\r", "\n").split("\n")


@pytest.mark.parametrize("text", NASTY)
def test_the_words_of_an_issue_give_github_no_command(text: str) -> None:
    [line] = lines(message=f"The word {text} is wrong.")
    assert line.startswith("::error file=content/a.md,line=7,col=1,title=placeholder::The word ")
    assert line.partition("::The word ")[2].count("%") == len([sign for sign in text if sign in "\r\n%"])


@pytest.mark.parametrize("text", NASTY)
def test_a_files_name_gives_github_no_command_and_no_other_place(text: str) -> None:
    [line] = lines(path=f"content/{text}.md")
    head, _, message = line.removeprefix("::error ").partition("::")
    assert message == "Wrong."
    assert [part.partition("=")[0] for part in head.split(",")] == ["file", "line", "col", "title"]


def test_a_message_is_shown_by_github_as_it_was_written() -> None:
    text = "50 % of it,\r\nsaid: so"
    [line] = lines(message=text)
    shown = line.rpartition("::")[2].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    assert shown == text


@pytest.mark.parametrize(("level", "word"), [("error", "error"), ("warning", "warning"), ("note", "notice")])
def test_each_level_has_githubs_word(level: str, word: str) -> None:
    assert as_github([Remark("placeholder", level, "a.md", 1, 1, "x", None)]).startswith(f"::{word} file=a.md")
