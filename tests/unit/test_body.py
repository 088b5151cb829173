"""The canonical body: what is mended in an issue's HTML."""

from __future__ import annotations

import re

import pytest

from mailer.editions.body import canonical


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2 3 3 2 3 4", "2 3 3 2 3 4"),
        ("3 3 4 3", "2 2 3 2"),
        ("4 2 4 4 3", "2 2 3 3 3"),
        ("1 3 5 1 2", "1 2 3 1 2"),
        ("2 5 6 5 2 3", "2 3 4 3 2 3"),
        ("6", "2"),
    ],
)
def test_headings_never_skip_a_level(written: str, shown: str) -> None:
    body = canonical("".join(f'<h{n} id="x">A <em>b</em></h{n}>\n' for n in written.split()), "https://x.example/").html
    assert re.findall(r"<h(\d) id", body) == re.findall(r"</h(\d)>", body) == shown.split()
