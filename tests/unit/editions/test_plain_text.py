"""The text part's line breaks, and what the email's components do to text that has no element of its own."""

from __future__ import annotations

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from mailer.editions.mail import plain_text
from mailer.editions.mail.canonical_html import parse_fragment
from mailer.editions.mail.components import for_email

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=40), max_size=60)


@given(WORDS, st.integers(20, 80))
def test_lines_break_where_textwrap_breaks_them(words: list[str], width: int) -> None:
    line = " ".join(" ".join(words).split())
    expected = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    assert plain_text._wrap(line, width) == expected


def test_items_of_several_lines_stand_below_their_mark() -> None:
    root = parse_fragment("<ol start='9'><li><p>one</p><p>two</p></li><li>a<br>b</li></ol>")
    assert plain_text.plain(root) == "9. one\n\n   two\n10. a\n    b\n"


def test_loose_text_before_a_box_stays_text() -> None:
    body = 'a &lt;b&gt; &amp; c<div class="admonition note"><p>in it</p></div>'
    assert for_email(body).startswith("a &lt;b&gt; &amp; c<table")
