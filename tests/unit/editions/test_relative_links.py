"""Relative links in GitHub's dialect lead from the file that they are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.editions.source.relative_links import point_to_sources


@pytest.mark.parametrize(
    ("target", "made"),
    [
        ("./issue-2.md", "{filename}./issue-2.md"),
        ("issue-2.md#%E4%BD%A0", "{filename}issue-2.md#%E4%BD%A0"),
        ("../pages/about.md?a=b", "{filename}../pages/about.md?a=b"),
        ("%C3%BCber%20b.md", "{filename}%C3%BCber%20b.md"),
        ("../images/a.png", "{static}../images/a.png"),
        ("../images/none.png", "../images/none.png"),
        ("../../../README.md", "../../../README.md"),
        ("../other/", "../other/"),
        ("/about.md", "/about.md"),
        ("#top.md", "#top.md"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("//example.org/a.md", "//example.org/a.md"),
        ("mailto:a@b.md", "mailto:a@b.md"),
        ("{filename}a.md", "{filename}a.md"),
        ("x" * 5000, "x" * 5000),
        ("a%00.md", "a%00.md"),
    ],
)
def test_a_link_to_a_source_or_to_a_file_that_exists_is_marked(tmp_path: Path, target: str, made: str) -> None:
    (tmp_path / "content/images").mkdir(parents=True)
    (tmp_path / "content/images/a.png").touch()
    page = tmp_path / "content/issues/issue-1.md"
    for name in ("href", "src"):
        before = f'<p>src="a.md"</p><a class="x" {name}="{target}">a.md</a>'
        assert point_to_sources(before, page, tmp_path / "content") == before.replace(f'{name}="{target}"', f'{name}="{made}"')
