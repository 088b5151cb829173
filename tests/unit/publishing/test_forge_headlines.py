"""Titles of drafts in the messages of commits and the titles of pull requests."""

from __future__ import annotations

import re

import pytest

from mailer.forges.base import BranchChange

# What GitHub, GitLab, Bitbucket, Azure, CircleCI, Travis, AppVeyor, Netlify, Vercel and Cloudflare take for a command.
MARKERS = re.compile(
    r"\[[\w -]*(skip|no)[\w -]*\]|\*+\s*NO_CI|skip-checks\s*:|(fix|close|resolve)\w*:?\s+(\S*#|gh-|[a-z]+-|http\S*/)\d"
    r"|@\w|[#!&%$~]\w|^[\w-]+-\w+: ",
    re.IGNORECASE | re.MULTILINE,
)


@pytest.mark.parametrize(
    "title",
    [
        "News [skip ci]", "[ci skip] News", "[no ci]", "[SKIP ACTIONS]", "[actions skip]", "[skip-ci]", "[ci_skip]",
        "[skip azp]", "[skip azurepipelines]", "[skip netlify]", "[skip vercel]", "[skip travis]", "[skip appveyor]",
        "[CF-Pages-Skip]", "［skip ci］", "***NO_CI***", "* * *NO_CI***", "News\n\n\nskip-checks: true", "skip-checks:true",
        "skip-checks : true", "ｓｋｉｐ-checks: true", "fixes #1", "Closes GH-12", "closes ABC-12", "resolves o/r#3",
        "Fixes: https://github.com/o/r/issues/1", "@ada look", "see !12", "&3 and %4 and $5 and ~bug",
        "News\n\nCo-authored-by: Eve <eve@example.org>", "Signed-off-by: Eve <e@x.org>", "+semver: major #major", "[[skip ci]]",
        "[skip\u200b ci]", "[skip\tci]", "\u202e]ic piks[", "<!-- [skip ci] -->", "`[skip ci]`",
    ],
)  # fmt: skip
def test_no_title_of_a_draft_is_a_command_to_a_pipeline_or_a_forge(title: str) -> None:
    headline = BranchChange("draft/x", "content/issues/x.md", b"", title).headline
    assert headline
    assert headline.splitlines() == [headline]
    assert not MARKERS.search(headline), headline
    assert not set("[]*#@<>`") & set(headline)


@pytest.mark.parametrize(
    ("title", "headline"),
    [
        ("Hello: a first one", "Hello: a first one"),
        ("Was ist neu? 50 % mehr – und „alles“ über Q & A!", "Was ist neu? 50 % mehr – und „alles“ über Q & A!"),
        ("L’été, enfin… (2026)", "L’été, enfin... (2026)"),
        ("新しい号：第一回", "新しい号:第一回"),
        ("हिन्दी में समाचार", "हिन्दी में समाचार"),
        ("well-known self-hosting", "well-known self-hosting"),
        ("🎉", "Untitled"),
        ("[skip ci]", "skip ci"),
        ("", "Untitled"),
    ],
)
def test_an_ordinary_title_stays_as_it_is(title: str, headline: str) -> None:
    assert BranchChange("draft/x", "content/issues/x.md", b"", title).headline == headline


def test_a_long_title_is_cut() -> None:
    assert len(BranchChange("draft/x", "content/issues/x.md", b"", "a" * 2000).headline) == 200
