"""GitHub's dialect of Markdown: its structure is that of cmark-gfm, in the shapes that pages and emails know."""

from __future__ import annotations

import re
import time

import pytest
from lxml import html

from bench.dialect import by_github, structure
from mailer.editions.mail import gfm
from mailer.editions.mail.canonical_html import canonical
from tests.machine import measure_slowness

SAME = [
    "A bare link: https://example.org/a_b?c=d.", "See www.example.org, please.", "Write to ann@example.org.",
    "~~gone~~", "~one~ and ~~two~~", "- [ ] open\n- [x] done", "1. [x] done", "A line\n- a list right under it",
    "A line\n1. a numbered list", "- a\n  - two blanks\n    - four blanks", "1. a\n   1. b", "* a\n\n* b", "- a\n\n  more",
    "> a\nlazy", "> a\n\n> b", "> - a\n> - b", "a  \nbreak", "a\\\nbreak", "a\nsoft", "***", "a\n---", "a\n===", "## a ##",
    "#no heading", "    code", "```\ncode\n```", "~~~\n```\n~~~", "`` a`b ``", "*a* **b** ***c***", "a_b_c", "__a__", "*a*b",
    "<https://example.org>", "[a](b \"c\")", "[a](<b c>)", "[a]\n\n[a]: b", "![a](b)", "[![a](b)](c)", "[a][]\n\n[a]: b",
    "| a | b |\n|---|:-:|\n| 1 | 2 |", "a | b\n--|--\n1 | 2", "| a |\n|---|\n| `x\\|y` |", "| a |\n|---|\n\nafter",
    "<b>raw</b>", "<div>\n\n*a*\n\n</div>", "<div>\n*a*\n</div>", "<!-- gone -->", "&copy; &amp; &lt;", "\\*a\\*", "a < b > c",
    "3) a\n4) b", "- a\n+ b", "-\n- a", "\ta", "中文**强调**。", "**a**中文", "a[^1]\n\n[^1]: note", "\"quotes\" -- ...",
    "H~2~O", "",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_a_construct_has_the_structure_that_github_gives_it(text: str) -> None:
    assert structure(gfm.to_html(text)) == structure(by_github(text))


def test_headings_keep_their_script_in_ids_and_no_two_are_the_same() -> None:
    made = gfm.to_html("# 你好 世界\n\n# Über `x`\n\n# Über x\n")
    assert html.fragment_fromstring(made, create_parent="div").xpath("//h1/@id") == ["你好-世界", "über-x", "über-x-1"]


def test_an_alert_becomes_a_box() -> None:
    assert '<div class="admonition note">\n<p class="admonition-title">Note</p>' in gfm.to_html("> [!NOTE]\n> Read this.")


def test_links_to_files_of_the_site_keep_their_mark() -> None:
    made = gfm.to_html("[a]({filename}a.md) ![b]({static}/images/b.png)")
    assert 'href="{filename}a.md"' in made
    assert 'src="{static}/images/b.png"' in made


def test_code_is_highlighted_in_a_known_language_and_kept_in_an_unknown_one() -> None:
    assert '<span class="k">def</span>' in gfm.to_html('```python title="x"\ndef f(): pass\n```')
    assert "a &lt; b" in gfm.to_html("```nosuch\na < b\n```")


@pytest.mark.parametrize("mark", [">", "> ", "- ", "1. ", "> - "])
def test_a_thousand_levels_are_refused_at_once(mark: str) -> None:
    with pytest.raises(ValueError, match="quotes or lists nested more than 100 levels deep"):
        gfm.to_html(f"a\n\n{mark * 1000} deep")
    assert "deep" in gfm.to_html(f"{mark * 50} deep")


def test_a_table_may_have_many_cells_but_not_many_columns() -> None:
    assert gfm.to_html("|a" * 100 + "|\n" + "|-" * 100 + "|\n" + ("|b" * 100 + "|\n") * 100).count("<td>") == 10_000
    with pytest.raises(ValueError, match="a table with more than 200 columns"):
        gfm.to_html("|a" * 300 + "|\n" + "|-" * 300 + "|\n")


def test_a_task_list_shows_what_is_done_in_the_body_that_is_sent() -> None:
    body = canonical(gfm.to_html("- [ ] open\n- [x] done"), "https://news.example.org/a/")
    assert body.html == "<ul>\n<li>☐ open</li>\n<li>☑ done</li>\n</ul>\n"
    assert not body.dropped


def test_html_of_the_author_in_a_code_block_stays_as_it_is() -> None:
    assert "<pre><code>a <b>b</b></code></pre>" in gfm.to_html("<pre><code>a <b>b</b></code></pre>")


def test_quotes_and_dashes_are_typographic_only_where_a_site_asks() -> None:
    assert '<p>"a" -- b...</p>' in gfm.to_html('"a" -- b...').replace("&quot;", '"')
    assert "<p>“a” – b…</p>" in gfm.to_html('"a" -- b...', gfm.GfmOptions(smart_quotes=True))


def test_the_names_of_emoji_are_shown_as_github_shows_them() -> None:
    assert gfm.to_html(":tada: :nosuch: `:tada:`") == "<p>🎉 :nosuch: <code>:tada:</code></p>\n"


@pytest.mark.parametrize("title", ['a "b" <c', "`<b>`", "[x](y)"])
def test_a_heading_has_an_id_and_no_link_to_itself(title: str) -> None:
    [made] = html.fragment_fromstring(gfm.to_html(f"## {title}"), create_parent="div")
    assert made.get("id")
    assert not made.xpath(".//a[@class='anchor']")


def test_many_equal_headings_take_linear_time() -> None:
    made = gfm.to_html("a\n=\n" * 20_000)
    assert len(set(re.findall(r"<h1 id=\"([^\"]+)", made))) == 20_000


BOX = '<div class="admonition {}">\n<p class="admonition-title">{}</p>'


@pytest.mark.parametrize(
    ("opening", "made"),
    [
        (":::note", BOX.format("note", "Note")),
        (":::warning  Mind <this>", BOX.format("warning", "Mind &lt;this&gt;")),
        (":::sponsor Supported by Example", BOX.format("sponsor", "Supported by Example")),
    ],
)
def test_a_box_is_named_and_has_markdown_inside(opening: str, made: str) -> None:
    body = gfm.to_html(f"before\n{opening}\n*a*\n- b\n:::\nafter")
    assert body == f"<p>before</p>\n{made}\n<p><em>a</em></p>\n<ul>\n<li>b</li>\n</ul>\n</div>\n<p>after</p>\n"


def test_boxes_stand_in_one_another_and_not_in_code() -> None:
    body = gfm.to_html(":::note\n:::tip\na\n:::\nb\n:::\n\n```\n:::note\n```\n")
    assert body.count('<div class="admonition') == body.count("</div>") - 1 == 2  # the code has one of its own
    assert ":::note" in body


def test_a_button_is_a_link_with_a_class() -> None:
    body = gfm.to_html(":::button\n[Read *on*](https://example.org/?a=1&b=2)\n:::\n")
    assert body == '<p><a class="button" href="https://example.org/?a=1&amp;b=2">Read <em>on</em></a></p>\n'


def test_the_limits_of_nesting_take_no_quadratic_time_for_indented_lists() -> None:
    deep = "".join("  " * level + "- x\n" for level in range(600))
    started = time.process_time()
    made = gfm.to_html(deep)
    assert (made.count("<li>"), time.process_time() - started < 2.0 * measure_slowness()) == (600, True)
