"""A line that a person would take for a fence of paid text, and that is none, is an error: nothing leaks by a slip."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer import checks
from mailer.checks.context import Context
from mailer.editions.source import front_matter, paid_sections, restructured_text
from mailer.editions.source.paid_fences import reads_like_fence

HEAD = "Title: A\nDate: 2026-11-24 09:00\n"
NEAR_MISSES = [
    "> :::premium", "> > - ::free", "- :::premium", "1. :::premium", "# :::premium", "|:::premium", "  :::premium", "\t:::free",
    "::premium", ":premium", "::::pr\u00e4mium", ": : : premium", ":::p r e m i u m", ":::Premium:", "::: {.premium}",
    ":::premuim", "::: premum for all", ":::premium Text here", ":::premium{#x}", ":::paid", ";;;premium", "**:::premium**",
    "`:::premium`", "\\\\:::premium", "<p>:::premium</p>", "<!-- :::premium -->", "&#58;&#58;&#58;premium", "&colon;::premium",
    "\uff1a\uff1a\uff1apremium", "\ufe55\ufe55\ufe55premium", "\u2236\u2236\u2236premium", ":::\uff50remium",
    "\u200b:::premium",
    "\u02f8\u02f8\u02f8premium", "\ufe30\ufe30\ufe30premium", "\u1361\u1361\u1361premium", "\u205a\u205a\u205apremium",
    "\u3164:::premium", ":::\u115fpremium", ":::f\u0433\u0435\u0435",
    "1. \uff1a\uff1a\uff1apremium",
    ":::pre\u200bmium", ":::\u00adpremium", "\u2067:::premium", "\u3000:::premium", "\u201c:::premium\u201d",
]  # fmt: skip
HARMLESS = [
    "std::free(x)", "::free(ptr);", ": free text as a definition", ":free:", ":smile:", "Note: premium text is free",
    "https://premium.example", ":::note", ":::warning", "::: details", "a ::: premium", "::", "12:30 free beer",
    "Free: a thing",
    "* 10:30: premium talk", "::before and ::after", ":: freedom for all", "- free: yes", ": premium seats", "",
]  # fmt: skip


def errors(body: str) -> list[str]:
    source = front_matter.split("content/a.md", f"{HEAD}\n{body}".encode())
    paid_sections.cut(source, source.fields, datetime.now(UTC), "https://news.example.org/join")
    return [one.message for one in source.findings if one.level == "error"]


@pytest.mark.parametrize("line", NEAR_MISSES)
def test_a_line_that_reads_like_a_fence_of_paid_text_and_is_none_is_an_error(line: str) -> None:
    assert reads_like_fence(line)
    [error, *_] = errors(f"Text.\n\n{line}\n\nMore.\n")
    assert "reads like a fence" in error or "Did you mean" in error


@pytest.mark.parametrize("line", HARMLESS)
def test_a_line_that_nobody_takes_for_a_fence_is_text(line: str) -> None:
    assert errors(f"Text.\n\n{line}\n\nMore.\n") == []


@pytest.mark.parametrize("end", ["> :::", "\uff1a\uff1a\uff1a", ": : :", "\u200b:::", ":::\u200b", "<p>:::</p>", "- :::"])
def test_a_line_that_reads_like_the_end_of_a_block_and_is_none_is_an_error(end: str) -> None:
    assert errors(f":::premium\nPaid.\n{end}\nFree.\n\n:::\n")


@pytest.mark.parametrize("body", ["```\n> :::premium\n::free\n```\n", "~~~\n ::: premium\n~~~\n"])
def test_near_misses_in_a_block_of_code_are_shown_as_they_are(body: str) -> None:
    assert errors(body) == []


def test_the_checks_name_a_near_miss_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"{HEAD}\nText.\n\n> :::premium\n")
    remarks = checks.examine([checks.Document(path, "content/a.md", path.read_bytes())], Context(tmp_path))
    assert [(one.level, one.line) for one in remarks if one.id == "paid-text"] == [("error", 6)]


def test_restructured_text_with_a_near_miss_is_refused() -> None:
    source = front_matter.Source("content/a.rst")
    restructured_text.check(source, {"title": "A", "date": "2026-11-24"}, "A\n#\n\n| ::premium\n")
    assert source.broken
