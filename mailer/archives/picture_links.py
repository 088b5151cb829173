"""The pictures that Markdown shows: list their addresses, and put others in their place, outside of code."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable
from html import unescape
from urllib.parse import urlsplit

from mailer.archives.archive_files import PICTURE_SUFFIXES
from mailer.archives.posts import PICTURE

_ADDRESS = re.compile(
    r"(?P<destination>(?:!\[[^\]\n]{0,2000})?\]\(\s{0,9}<?)(?P<inline>[^)\s>]+)"
    r"|(?P<tag><img\b[^>]{0,2000}?\bsrc=[\"'])(?P<source>[^\"'>]+)"
    r"|^(?P<label> {0,3}\[[^\]\n]{1,999}\]:[ \t]*<?)(?P<defined>[^\s>]+)",
    re.IGNORECASE | re.MULTILINE,
)
_CODE = re.compile(r"^( {0,3})(```++|~~~++)[^\n]*\n.*?(?:^ {0,3}\2[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_OURS = (PICTURE, "{static}", "{attach}", "{filename}", "data:")

Change = Callable[[str, bool], str]  # from an address, and whether a picture is shown there, to what the Markdown says instead


def change_pictures(body: str, change: Change) -> str:
    """Return the Markdown with other addresses of pictures that it shows, and of links to what is named like a picture."""
    return "".join(
        part if is_code else _ADDRESS.sub(lambda match: _change(match, change), part)
        for part, is_code in split_outside_code(body)
    )


def list_elsewhere(body: str) -> list[str]:
    """List the addresses of the pictures that a text shows and that are not the newsletter's own, each once."""
    found: list[str] = []

    def note(address: str, shown: bool) -> str:
        if shown and not address.startswith(_OURS):
            found.append(address)
        return address

    change_pictures(body, note)
    return list(dict.fromkeys(found))


def describe_elsewhere(addresses: Iterable[str]) -> list[str]:
    """Return a sentence for each host at which pictures stay."""
    hosts = Counter(find_host(address) or "an address without a host" for address in addresses)
    return [f"{number} picture{'s' * (number != 1)} not in the archive, linked from {host}." for host, number in hosts.items()]


def find_host(url: str) -> str:
    """Return the host of a URL, '' without one."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def has_picture_name(address: str) -> bool:
    """Return whether an address ends like a picture's file."""
    path = re.split(r"[?#]", address, maxsplit=1)[0]
    return posixpath.splitext(path)[1].lower() in PICTURE_SUFFIXES


def split_outside_code(body: str) -> Iterable[tuple[str, bool]]:
    """Yield the parts of a Markdown text, and whether each is a fenced block of code."""
    at = 0
    for code in _CODE.finditer(body):
        yield body[at : code.start()], False
        yield code[0], True
        at = code.end()
    yield body[at:], False


def _change(match: re.Match[str], change: Change) -> str:
    before = match["destination"] or match["tag"] or match["label"]
    address = match["inline"] or match["source"] or match["defined"]
    shown = before[0] in "!<" or (bool(match["label"]) and has_picture_name(address))
    if not shown and not has_picture_name(address):
        return match[0]
    new = change(unescape(address), shown)
    return match[0] if new == unescape(address) else before + new
