"""Follow fenced code blocks through a source, line by line."""

from __future__ import annotations

import re

_CODE = re.compile(r"^ {0,3}(```+(?=[^`]*$)|~~~+)")


def follow_code(line: str, code: str) -> str:
    """Return the fence of the code block that the next line is in, or ''; ``code`` is the one that this line is in."""
    match = _CODE.match(line)
    if not match:
        return code
    if not code:
        return match[1]
    closes = match[1][0] == code[0] and len(match[1]) >= len(code) and not line.strip().strip(code[0])
    return "" if closes else code
