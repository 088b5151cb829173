from __future__ import annotations

import pytest

from bench.figures import Figures


def test_a_table_stands_in_its_section_once() -> None:
    page = "# Page\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\n"
    figures = Figures("a", ["what", "figure"], [["mails", "1,000 \\1"]])
    once = figures.placed(page, "run this")
    assert "old" not in once
    assert "| mails | 1,000 \\1 |" in once
    assert "run this" in once
    assert once.endswith("between\n<!-- b -->\n<!-- /b -->\n")
    assert figures.placed(once, "run this") == once


def test_a_page_without_the_section_is_an_error() -> None:
    with pytest.raises(ValueError, match="no section <!-- a -->"):
        Figures("a", ["x"], []).placed("# Page\n", "run")
