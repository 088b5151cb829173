"""Other tools' HTML becomes Markdown that both dialects read as what it was."""

from __future__ import annotations

import comrak
import markdown
import pytest
from lxml import html

from mailer.archives.html_to_markdown import convert_html
from mailer.archives.picture_links import describe_elsewhere, list_elsewhere
from mailer.defaults import MARKDOWN

CONFIGS: dict[str, dict[str, object]] = MARKDOWN["extension_configs"]  # type: ignore[assignment]

SAME = {
    "marks that are text": "<p>5 * 3 and *x*, snake_case _y_, [a](b), `c`, \\d, &lt;b&gt;, &amp;amp; &amp; #1</p>",
    "lines that look like blocks": "<p>1. one</p><p># no heading</p><p>- no list</p><p>&gt; no quote</p><p>+ plus</p>",
    "lists in lists": "<ul><li>one<ul><li>two<ol><li>deep</li></ol></li></ul></li><li>three</li></ul>",
    "loose lists": "<ol><li><p>one</p><p>more</p></li><li><p>two</p></li></ol>",
    "emphasis with blanks": "<p>a <b>bold </b>and <i> thin</i> word</p>",
    "a link with a title": '<p><a href="https://e.org/a_b?c=1&amp;d=2" title="T">text *here*</a></p>',
    "code": "<p>Use <code>a*b &lt;c&gt;</code>.</p><pre><code>x = 1\n\n    y &lt; 2 &amp; *z*</code></pre>",
    "a table": "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td><b>2</b></td></tr></table>",
    "a quotation": "<blockquote><p>one</p><p>two</p></blockquote>",
    "headings and rules": "<h2>Two</h2><p>text</p><hr><h3>Three</h3>",
    "sub, sup, mark": "<p>H<sub>2</sub>O, x<sup>2</sup>, <mark>new</mark>, <del>old</del></p>",
    "a table that Markdown cannot say": '<table><tr><td colspan="2">A</td></tr><tr><td>1</td><td>2</td></tr></table>',
}


def shape(text: str) -> list[str]:
    """The text and elements of HTML, without what differs by dialect: paragraphs in items, blanks, parts of tables."""
    root = html.fragment_fromstring(text, create_parent="div")
    for one in list(root.iter("thead", "tbody", "p", "span")):
        one.text, one.tail = f" {one.text or ''}", f" {one.tail or ''}"
        one.drop_tag()
    for one in root.iter("div", "code", "pre", "th", "td", "ol", "h2", "h3", "del", "s"):
        one.attrib.clear()
        one.tag = "del" if one.tag == "s" else one.tag
    names = {"b": "strong", "i": "em"}
    parts: list[str] = []
    for element in root.iter():
        name = names.get(str(element.tag), str(element.tag))
        parts.append(f"<{name}>{' '.join((element.text or '').split())}")
        parts.append(" ".join((element.tail or "").split()))
    return [part for part in parts if part]


@pytest.mark.parametrize("what", SAME)
def test_both_dialects_read_the_markdown_as_the_html_that_it_was(what: str) -> None:
    converted = convert_html(SAME[what], lambda address: "")
    assert converted.lost == []
    ours = markdown.markdown(converted.body, extensions=list(CONFIGS), extension_configs=CONFIGS)
    options = comrak.ExtensionOptions()
    options.table = True
    render = comrak.RenderOptions()
    render.unsafe_ = True
    github = comrak.render_markdown(converted.body, extension_options=options, render_options=render)
    assert shape(github) == shape(SAME[what]), converted.body
    if what != "code":  # highlighted there
        assert shape(ours) == shape(SAME[what]), converted.body


def test_what_no_email_can_contain_is_left_out_and_named() -> None:
    converted = convert_html(
        '<p onclick="x()">Text<script>alert(1)</script></p><iframe src="https://v.example/1"></iframe><form><input></form>'
        '<a href="javascript:x()">link</a><img src="data:image/png;base64,AAAA">',
        lambda address: "",
    )
    assert converted.body == "Text\n\n<https://v.example/1>\n\nlink"
    link = "Embedded content became a link: https://v.example/1."
    assert converted.lost == [link, "1 <form> removed.", "1 <script> removed."]


DEEP = ("<div>" * 5_000, "<p>" + "<b>" * 200 + "x")
BROKEN = ("</p></div>&#xD800;&#0;<<<>", "<table><td><tr><li></table>", "x" * 3_000_000)


@pytest.mark.parametrize("text", [*DEEP, *BROKEN])
def test_broken_and_hostile_html_raises_nothing(text: str) -> None:
    converted = convert_html(text, lambda address: "")
    assert len(converted.body) < 1000


def test_the_picture_for_browsers_without_scripts_stays() -> None:
    lazy = '<img class="lazy" src="data:image/gif;base64,R0" data-src="https://e.org/a.png"><noscript><img src="https://e.org/a.png"'
    html = f'<p>{lazy} alt="A"></noscript></p><noscript>Switch scripts on.</noscript><noscript><img src="https://e.org/b.png"></noscript>'
    assert convert_html(html, lambda address: "").body == "![A](https://e.org/a.png)\n\n![](https://e.org/b.png)"


def test_pictures_of_the_archive_are_told_from_those_elsewhere() -> None:
    converted = convert_html(
        '<figure><a href="https://s.example/a.png"><img src="https://s.example/a.png" alt="A"></a>'
        "<figcaption>Cap</figcaption></figure><img src='https://s.example/b.png'>",
        lambda address: "a.png" if address.endswith("a.png") else "",
    )
    assert converted.body == '![A](postmerge-picture://0 "Cap")\n\n![](https://s.example/b.png)'
    assert (converted.pictures, list_elsewhere(converted.body)) == (("a.png",), ["https://s.example/b.png"])
    assert describe_elsewhere(list_elsewhere(converted.body)) == ["1 picture not in the archive, linked from s.example."]
