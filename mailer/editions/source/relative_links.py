"""Links between files of a site as GitHub follows them: from the file that they are in, such as `./issue-2.md`."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from urllib.parse import unquote

from mailer.editions.source.field_rules import is_long
from mailer.editions.source.site_config import EXTENSIONS

# It begins with a literal, for which a text is searched ten times as fast.
_RELATIVE = re.compile(r'''="(?:(?<=[\s"']href=")|(?<=[\s"']src="))(?![\w+.-]*:|[/#?{|])([^"#?<>{}]+)([^"]*)"''')


def point_to_sources(made: str, path: Path, root: Path) -> str:
    """Mark the relative links of a file's HTML as Pelican does, with `{filename}` and `{static}`.

    Others than to Markdown only if the file exists below the content folder `root`: a page's address stays as it is.
    """

    def mark(match: re.Match[str]) -> str:
        kind = _kind(unquote(html.unescape(match[1])), path, root)
        return f'="{{{kind}}}{match[1]}{match[2]}"' if kind else match[0]

    return _RELATIVE.sub(mark, made)


def _kind(target: str, path: Path, root: Path) -> str:
    place = Path(os.path.normpath(path.parent / target))
    if "\0" in target or is_long(place.name) or not place.is_relative_to(root):
        return ""
    if place.suffix.lower() in (*EXTENSIONS, ".rst"):
        return "filename"
    return "static" if place.is_file() else ""
