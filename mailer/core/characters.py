"""Characters that XML (https://www.w3.org/TR/xml/#charsets) or the header of an email cannot carry, and names in headers."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import NamedTuple

from mailer.core.errors import BadInput

ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
OVERRIDES = re.compile("[\u202d\u202e]")  # they reverse the order of all text that follows, in the inbox too
MAX_DATE_CHARS = 100  # of a date in free form: parsing one takes time with the square of its length
_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
_REFERENCE = re.compile(r"&#(?:[xX]0{0,6}([0-9a-fA-F]{1,6})|0{0,7}([0-9]{1,7}))(?![0-9a-fA-F]);?")
_NAME_AND_ADDRESS = re.compile(r"(.*?)\s*<\s*([^\s<>]*)\s*>")
_ADDRESS_AND_COMMENT = re.compile(r"(\S+)\s*\((.*)\)")  # as RFC 822 had it
_WORD = re.compile(r"\S+")  # with an @ in the pattern, each position in a long word would be tried as a beginning
_BARE_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+")


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


class Sender(NamedTuple):
    """A sender: the name, which may be empty, and the bare address."""

    name: str
    address: str


def parse_sender(text: str) -> Sender:
    """Parse a name and an address. All before the last ``<`` is the name, whatever it contains. Raises BadInput.

    The standard library's parser takes ``Müller, Anna <…>`` for two senders, and ``Anna @ Work <…>`` for the address.
    """
    flat = text.strip()
    if re.search(r"[\r\n\0]", flat):
        raise BadInput(f"The sender {flat[:80]!r} has more than one line.")
    if match := _NAME_AND_ADDRESS.fullmatch(flat):
        name, address = match[1], match[2]
    elif match := _ADDRESS_AND_COMMENT.fullmatch(flat):
        name, address = match[2], match[1]
    else:
        name, address = "", flat
    if not _BARE_ADDRESS.fullmatch(address):
        raise BadInput(f"The sender {flat[:80]!r} is not a name and an address: write it as Name <address@your.domain>.")
    return Sender(clean(_read_name(name)), address)


def name_sender(sender: str, site_name: str) -> str:
    """Return what a text that names the newsletter calls its sender: by name, or by address if the names are the same."""
    if not sender:
        return site_name
    name, address = parse_sender(sender)
    return address if name.casefold() in ("", site_name.casefold()) else name


def _read_name(name: str) -> str:
    """Return a name without the quotes and the encoding of headers."""
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = re.sub(r"\\(.)", r"\1", name[1:-1]) if name[0] == '"' else name[1:-1]
    if "=?" in name:
        try:
            name = str(make_header(decode_header(name)))
        except (HeaderParseError, LookupError, ValueError):
            return " ".join(name.split())
    return " ".join(name.split())


def without_addresses(text: str) -> str:
    """Replace each word that contains ``@`` in a text by ``(address)``."""
    return _WORD.sub(lambda word: "(address)" if "@" in word[0] else word[0], text)
