"""What says "not yet" in this tool's words and in other generators' keeps an issue from being emailed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath

import pytest

from mailer.editions.source import drafts
from mailer.editions.source.front_matter import asked, split

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HEAD = "title: Hello\ndate: 2026-11-24 09:00\n"


def judged(lines: str, path: str = "issues/hello.md", send: str = "send: yes\n") -> tuple[bool, list[str]]:
    """Is the issue a draft, and what is said of it?"""
    source = split(f"content/{path}", f"---\n{HEAD}{send}{lines}\n---\n\nText.\n".encode())
    wanted = asked(source).send
    draft = drafts.judge(source, drafts.Candidate(source.fields, PurePath(path), "UTC", NOW), wanted)
    return draft, [f"{one.line}: {one.message}" for one in source.findings if one.level == "error"]


@pytest.mark.parametrize(
    "lines",
    [
        "status: draft", "status: Draft", 'status: "draft"', "status: skip", "draft: true", "draft: yes", "draft: 1",
        "draft: on", "draft: True # not yet", "isDraft: true", "is_draft: true", "published: false", "published: no",
        "published: off", "publish: false", "headless: true", "permalink: false", "render: false",
        "build:\n  render: never\n  list: never", "_build:\n  render: link", "build: {render: never}",
    ],
)  # fmt: skip
def test_a_draft_is_left_out_whatever_send_says(lines: str) -> None:
    assert judged(lines) == (True, [])


@pytest.mark.parametrize("path", ["_drafts/hello.md", "issues/_drafts/hello.md"])
def test_a_file_in_jekylls_folder_of_drafts_is_one(path: str) -> None:
    assert judged("", path) == (True, [])


@pytest.mark.parametrize(
    "lines",
    [
        "status: published", "draft: false", "draft: no", "draft:", "draft: null", "published: true", "published: 2026-11-01",
        "permalink: /hello/", "hidden: false", "publishDate: 2026-11-01", "expiryDate: 2027-01-01", "build:\n  render: always",
        "eleventyExcludeFromCollections: false", "publisher: true", "tags: draft", "summary: true",
    ],
)  # fmt: skip
def test_what_is_published_is_no_draft(lines: str) -> None:
    assert judged(lines) == (False, [])


@pytest.mark.parametrize(
    "lines",
    [
        "status: hidden", "unlisted: true", "hidden: true", "eleventyExcludeFromCollections: true", "build:\n  list: never",
        "satus: draft", "darft: true",
    ],
)  # fmt: skip
def test_a_page_that_no_list_shows_is_never_emailed(lines: str) -> None:
    draft, [error] = judged(lines)
    assert not draft
    assert error.startswith("5: ")
    assert "marks this issue as not ready, but `Send:` asks to send it: " in error
    assert judged(lines, send="") == (False, [])


@pytest.mark.parametrize("path", ["issues/_hello.md", "drafts/hello.md"])
def test_a_name_that_looks_like_a_draft_is_never_emailed(path: str) -> None:
    assert len(judged("", path)[1]) == 1
    assert judged("", path, send="") == (False, [])


@pytest.mark.parametrize(
    "lines", ["publishDate: 2026-12-01", "pubDate: 2026-12-01T09:00:00Z", "published: 2026-12-01", "expiryDate: 2026-11-01"]
)
def test_an_issue_unpublished_on_its_day_is_left_out_and_contradicts_send(lines: str) -> None:
    draft, [error] = judged(lines)
    assert (draft, error[:2]) == (True, "5:")
    assert judged(lines, send="") == (True, [])


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("draft: maybe", "`draft: maybe` is not valid: write `draft: true` or `draft: false`."),
        ("published: perhaps", "`published: perhaps` is not valid"),
        ("status: drft", "`Status: drft` is not valid: write `Status: draft`, or remove the line."),
        ("publishDate: soon", "`publishdate: soon` is not valid: write the day as 2026-11-24, or remove the line."),
    ],
)
def test_a_value_that_cannot_be_read_is_an_error_with_and_without_send(lines: str, sentence: str) -> None:
    for send in ("send: yes\n", ""):
        [error] = judged(lines, send=send)[1]
        assert sentence in error


@pytest.mark.parametrize(("date", "wrong"), [("2026-11-25 12:01", True), ("2027-01-01", True), ("2026-11-25", False)])
def test_a_date_ahead_contradicts_send_yes(date: str, wrong: bool) -> None:
    errors = judged(f"date: {date}")[1]
    assert bool(errors) is wrong
    assert all(
        f"5: `Date: {date}` is in the future, but `Send: yes` sends the issue immediately: write `Send:" in e for e in errors
    )
    assert judged(f"date: {date}", send="send: 2027-02-01 09:00 UTC\n") == (False, [])


def test_one_reason_is_enough() -> None:
    assert judged("draft: false\nstatus: draft") == (True, [])
