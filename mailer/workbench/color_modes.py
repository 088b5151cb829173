"""Color modes of emails, whatever the browser's own mode is."""

from __future__ import annotations

import re

_QUERY = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)")


def fix_color_mode(html: str, mode: str) -> str:
    """Make an email's HTML look as it does in one mode, ``light`` or ``dark``."""
    made = _QUERY.sub(lambda match: "all" if match[1] == mode else "not all", html)
    return made.replace("<html ", f'<html style="color-scheme:{mode}" ', 1)
