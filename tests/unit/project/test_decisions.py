"""The decision records: numbered without gaps, indexed, each in the same form."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "adr"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))


def test_every_record_is_in_the_index_under_its_title_and_status() -> None:
    index = re.findall(r"^\| \[(\d{4})\]\(([\w.-]+)\) \| (.+) \| (.+) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    found = []
    for path in RECORDS:
        text = path.read_text(encoding="utf-8")
        title, status = re.match(r"# \d{4}\. (.+)", text), re.search(r"^- Status: (.+)$", text, re.MULTILINE)
        assert title
        assert status
        found.append((path.name[:4], path.name, title[1], status[1]))
    assert index == found
    assert [number for number, *_ in found] == [f"{number:04}" for number in range(1, len(found) + 1)]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_the_form_of_the_template(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.name[:4]}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    when, status = re.search(r"^- Date: (.+)$", text, re.MULTILINE), re.search(r"^- Status: (.+)$", text, re.MULTILINE)
    assert when
    assert date.fromisoformat(when[1])
    assert status
    assert re.fullmatch(r"proposed|accepted|superseded by \d{4}", status[1])
    assert 20 <= len(text.splitlines()) <= 40
