"""Convert GitHub's dialect of Markdown to HTML, in the shapes that the theme, the emails and Pelican know."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import comrak
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from mailer.editions.mail.canonical_html import MAX_DEPTH
from mailer.editions.source import component_fences

NAME = "gfm"
_EXTENSIONS = ("alerts", "autolink", "footnotes", "shortcodes", "strikethrough", "table", "tasklist")
_CODE = re.compile(r'<pre><code(?: class="language-([^"]*)")?>([^<]*)</code></pre>')  # ours: none has elements inside
_HEADING = re.compile(r"<h([1-6])>((?:(?!</?h[1-6]>).)*)</h\1>", re.DOTALL)
_OWN_LINK = re.compile(r'((?:href|src)=")%7B(\w+)%7D([^"]*)')
_ALERT = re.compile(r'<div class="markdown-alert markdown-alert-(\w+)">\n<p class="markdown-alert-title">')
_ALIGNED = re.compile(r'<(t[hd]) align="(\w+)">')
_NOTED = re.compile(r'(?<=") data-footnote-(?:ref|backref data-footnote-backref-idx="[^"]*")(?=[ >])')
_BOXES = {
    '<input type="checkbox" disabled="" />': "\N{BALLOT BOX}",
    '<input type="checkbox" checked="" disabled="" />': "\N{BALLOT BOX WITH CHECK}",
}


@dataclass(frozen=True)
class GfmOptions:
    """What a site chooses within the dialect. ``smart_quotes`` makes quotation marks, dashes and ellipses typographic."""

    smart_quotes: bool = False


_MAX_TABLE_COLUMNS = 200  # comrak fills up every row of a table, and takes quadratic time for quotes in one another
_DEEP = re.compile(rf"^(?:[ \t]*+(?:>|[-+*](?=[ \t])|\d{{1,9}}[.)](?=[ \t]))){{{MAX_DEPTH + 1}}}", re.MULTILINE)
_WIDE = re.compile(rf"^[ \t>]*+\|?(?:[ \t]*+:?-++:?[ \t]*+\|){{{_MAX_TABLE_COLUMNS}}}", re.MULTILINE)


def renderer() -> str:
    """Name the library and its version, for keys of caches."""
    return f"comrak {version('comrak')}"


def to_html(text: str, chosen: GfmOptions = GfmOptions()) -> str:
    """Convert a text. HTML in it stays as it is: what may not be published is removed afterwards.

    Raises ValueError for text with which no email could be read.
    """
    insist_on_depth(text)
    if _WIDE.search(text):
        raise ValueError(f"a table with more than {_MAX_TABLE_COLUMNS} columns")
    extensions, parsing, rendering = _options(chosen)
    made: str = comrak.render_markdown(component_fences.to_blocks(text), extensions, parsing, rendering)
    made = _OWN_LINK.sub(r"\1{\2}\3", made)  # `{filename}` and `{static}` are Pelican's
    made = _ALERT.sub(r'<div class="admonition \1">\n<p class="admonition-title">', made)
    made = _ALIGNED.sub(r'<\1 class="align-\2">', made)
    made = made.replace('<section class="footnotes" data-footnotes>', '<section class="footnote">\n<hr>')
    made = made.replace('<sup class="footnote-ref"><a ', '<sup><a class="footnote-ref" ')
    made = _NOTED.sub("", made)
    for box, sign in _BOXES.items():  # no email program shows form fields reliably
        made = made.replace(box, sign)
    return component_fences.finish(_name_headings(_CODE.sub(_color, made)))


def insist_on_depth(text: str) -> None:
    """Raise ValueError for a line that begins inside too many quotes and lists."""
    if _DEEP.search(text):
        raise ValueError(f"quotes or lists nested more than {MAX_DEPTH} levels deep")


@cache
def _options(chosen: GfmOptions) -> tuple[Any, Any, Any]:
    extensions, parsing, rendering = comrak.ExtensionOptions(), comrak.ParseOptions(), comrak.RenderOptions()
    for name in _EXTENSIONS:
        setattr(extensions, name, True)
    parsing.smart = chosen.smart_quotes
    rendering.unsafe_ = rendering.gfm_quirks = True  # the quirk: no <strong> in another
    return extensions, parsing, rendering


def _color(match: re.Match[str]) -> str:
    code, name = html.unescape(match[2]), re.split("[,:{ ]", match[1] or "text")[0]  # ```rust,ignore
    try:
        lexer = get_lexer_by_name(name, stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text", stripnl=False)
    colored: str = highlight(code, lexer, HtmlFormatter(cssclass="highlight", wrapcode=True))
    return colored.rstrip("\n")


def _name_headings(made: str) -> str:
    """Give each heading an id as GitHub does: letters of every script, and `-1` at the end of a repeated one.

    comrak's own take quadratic time for equal headings.
    """
    taken: set[str] = set()
    numbers: dict[str, int] = {}

    def name(match: re.Match[str]) -> str:
        words = html.unescape(re.sub(r"<[^<>]*>", "", match[2])).strip().lower()
        first = re.sub(r"[^\w\- ]", "", words.replace("\n", " ")).replace(" ", "-") or "section"
        one = first
        while one in taken:
            numbers[first] = numbers.get(first, 0) + 1
            one = f"{first}-{numbers[first]}"
        taken.add(one)
        return f'<h{match[1]} id="{html.escape(one)}">{match[2]}</h{match[1]}>'

    return _HEADING.sub(name, made)
