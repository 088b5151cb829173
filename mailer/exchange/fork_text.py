"""The text of a report that a fork's code may have written, made harmless in a forge's comment.

Imports nothing but the standard library: ``hooks/fork_report.py`` runs it where Postmerge is not installed.
"""

from __future__ import annotations

import html
import re

MARK = "<!-- postmerge comment -->"  # how a report begins
MAX_COMMENT_BYTES = 60_000  # GitHub takes 65,536 characters
_WARNING = (
    "> **From a fork.** The fork's own code wrote what follows and could write anything, so read the change itself. It has no"
    " numbers of subscribers and no picture."
)
_NO_SPACE = "\u200b"
_ENTITY = re.compile(r"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[a-zA-Z]{1,20});?")
_SIGNS = ("@", "#", "/", "!")


def read_text(data: bytes) -> str:
    """Return what was uploaded as text, cut to its limit, without control characters."""
    text = data[:MAX_COMMENT_BYTES].decode("utf-8", "ignore").replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def remove_commands(text: str) -> str:
    """Return the text with no line that a forge or another program would take for a command, such as ``/close``."""
    return re.sub(r"(?m)^([ \t>]*)/", rf"\1{_NO_SPACE}/", text)


def defuse(text: str) -> str:
    """Return a report under a warning: it names nobody, refers to nothing, and no line of it is another program's command."""
    text = text.removeprefix(MARK)
    text = _ENTITY.sub(lambda found: html.unescape(found[0]) if html.unescape(found[0]) in _SIGNS else found[0], text)
    text = re.sub(r"@|[#!](?=\d)|\bGH-(?=\d)", lambda found: found[0] + _NO_SPACE, text)
    return f"{MARK}\n{_WARNING}\n\n{remove_commands(text).strip()}\n"
