"""Components between `:::name` and `:::` in GitHub's dialect, beside the fences of paid text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailer.editions.source import paid_sections
from mailer.editions.source.front_matter import Source

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECRET = "Eleven cellars below the yard of the old brewery"


def cut(body: str, gfm: bool = True, **fields: str) -> tuple[paid_sections.Cut, list[tuple[int, str]]]:
    source = Source("bad.md", body=body, body_line=4)
    made = paid_sections.cut(source, fields, NOW, "/join", gfm)
    return made, [(one.line, one.message) for one in source.findings]


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (":::note\na\n", 4, "`:::note` is never closed"),
        (":::note A title\na\n", 4, "`:::note A title` is never closed"),
        ("a\n\n:::\n", 6, "`:::` closes nothing"),
        (":::hint\na\n", 4, "`:::hint` is unknown: write one of premium, free, note, tip,"),
        (":::note\n:::premium\na\n:::\n:::\n", 5, "`:::premium` is inside `:::note` of line 4"),
        (f":::premium\n:::note\na\n:::\n{SECRET}\n", 4, "`:::premium` is never closed"),
        (f":::premium\n:::note\n{SECRET}\n:::\n", 4, "`:::premium` is never closed"),
    ],
)
def test_a_component_that_is_not_clear_is_an_error_at_its_line(body: str, line: int, said: str) -> None:
    _, errors = cut(body)
    assert (errors[0][0], errors[0][1][: len(said)]) == (line, said)


@pytest.mark.parametrize(
    "body",
    [
        f":::note\na\n:::\n\n:::premium\n{SECRET}\n:::\n\n:::button\n[b](c)\n:::\n",
        f"a\n\n:::premium\n:::note Title\n{SECRET}\n:::\n{SECRET}\n\n:::tip\n:::note\n{SECRET}\n:::\n:::\n:::\n",
        f"a\n\n:::premium\n~~~\n:::note\n~~~\n{SECRET}\n:::\n",
        f"a\n\n:::premium\n``` a`b\n{SECRET}\n:::\n",
        f"- a\n\n  :::note\n\n:::premium\n- {SECRET}\n:::\n",
        f"> a\n:::premium\n> {SECRET}\n:::\n> b\n",
        f"| a |\n|---|\n:::premium\n| {SECRET} |\n:::\n| b |\n",
        f"a\n\n:::premium\nb[^1]\n:::\n\n[^1]: {SECRET}\n{SECRET}\n\n    {SECRET}\n\nc\n",
        f"a\n\n:::premium\nb[^1]\n:::\n\n  [^1]: {SECRET}\n",
        f"a\n\n:::premium\nb[^1]\n:::\n\n[^1]:\n    {SECRET}\n",
    ],
)
def test_no_paid_word_stays_in_the_free_text_whatever_is_around_it(body: str) -> None:
    made, errors = cut(body)
    assert errors == []
    assert SECRET not in made.free
    assert SECRET in (made.premium or "")
    assert any(SECRET in one for one in made.secrets)


def test_a_component_in_the_teaser_is_kept() -> None:
    made, errors = cut(f":::note\na\n:::\n\n<!-- more -->\n\n{SECRET}\n", access="premium")
    assert errors == []
    assert made.free.startswith(":::note\na\n:::\n")


def test_other_dialects_know_no_components() -> None:
    _, errors = cut(":::note\na\n:::\n", gfm=False)
    assert errors == [(6, "`:::` closes nothing: remove it, or begin with `:::premium`.")]
