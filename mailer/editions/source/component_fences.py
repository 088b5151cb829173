"""Components in GitHub's dialect: boxes and buttons between `:::name Title` and `:::`, each on a line of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from mailer.editions.source.code_fences import follow_code

BUTTON = "button"
BOXES = ("note", "tip", "important", "warning", "caution", "sponsor")
NAMES = (*BOXES, BUTTON)
_OPENING = re.compile(r":::(\w+)(?:[ \t]+(\S.*?))?\s*$")
_BUTTON = re.compile(r'<div class="button-place">\n<p><a ((?:(?!</p>|<a )[^\n])*</a></p>)\n</div>')


def read_opening(line: str) -> tuple[str, str] | None:
    """Return the name and the title of the component that a line opens, if it opens one."""
    match = _OPENING.match(line)
    name = match[1].lower() if match else ""
    return (name, match[2] or "") if match and name in NAMES else None


def to_blocks(text: str) -> str:
    """Replace the lines that open and close components with HTML, between which Markdown works.

    The order of lines was checked when paid text was cut out; a `:::` that closes nothing stays.
    """
    return "\n".join(_lines(text.split("\n"))) if "\n:::" in f"\n{text}" else text


def _lines(lines: list[str]) -> Iterator[str]:
    code, depth = "", 0
    for line in lines:
        code = follow_code(line, code)
        opened = None if code else read_opening(line)
        if opened:
            depth += 1
            yield f"\n{_open(*opened)}\n"
        elif depth and not code and re.fullmatch(r":::+\s*", line):
            depth -= 1
            yield "\n</div>\n"
        else:
            yield line


def _open(name: str, title: str) -> str:
    if name == BUTTON:
        return '<div class="button-place">'
    return f'<div class="admonition {name}">\n<p class="admonition-title">{html.escape(title or name.title())}</p>'


def finish(made: str) -> str:
    """Give the links of buttons their class; what else is inside a button's lines stays a paragraph."""
    return _BUTTON.sub(r'<p><a class="button" \1', made)
