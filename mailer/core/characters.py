"""Characters that XML (https://www.w3.org/TR/xml/#charsets) or the header of an email cannot carry."""

from __future__ import annotations

import re

ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
OVERRIDES = re.compile("[\u202d\u202e]")  # they reverse the order of all text that follows, in the inbox too
MAX_DATE_CHARS = 100  # of a date in free form: parsing one takes time with the square of its length
_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
_REFERENCE = re.compile(r"&#(?:[xX]0{0,6}([0-9a-fA-F]{1,6})|0{0,7}([0-9]{1,7}))(?![0-9a-fA-F]);?")


def may_hold_illegal(data: bytes) -> bool:
    """Might a file contain such a character? Much faster than a search, and right for nearly all files."""
    return len(data.translate(None, _CONTROLS)) != len(data) or b"\xef\xbf" in data


def clean(text: str) -> str:
    """Remove illegal characters."""
    return ILLEGAL.sub("", text)


def clean_html(text: str) -> str:
    """Remove illegal characters from HTML, where they may also be references such as ``&#7;``."""
    text = clean(text)
    return _REFERENCE.sub(_legal, text) if "&#" in text else text


def name_character(character: str) -> str:
    """Return a character's code point as people look it up: ``U+0007``."""
    return f"U+{ord(character):04X}"


def printable(text: str) -> str:
    """Return a file's name on one line, safe for terminals and JSON."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", text)


def _legal(match: re.Match[str]) -> str:
    number = int(match[1], 16) if match[1] else int(match[2])
    return "" if number <= 0x10FFFF and ILLEGAL.match(chr(number)) else match[0]
