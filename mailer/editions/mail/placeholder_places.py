"""Where an email may contain the placeholder that becomes each subscriber's own unsubscribe link.

The build searches what it renders; an edition that was uploaded, or changed after the build, may contain it anywhere. In the
URL of an image it would give every subscriber's link to a third party.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from secrets import token_hex
from typing import Any

import tinyhtml5

from mailer.core.message import UNSUBSCRIBE_URL

_XHTML = "{http://www.w3.org/1999/xhtml}"
_RAW_TEXT = {"style", "script", "iframe", "noembed", "noframes", "noscript", "xmp", "plaintext"}


def is_misplaced(html: str, text: str) -> bool:
    """Return whether an email contains the placeholder elsewhere than as the whole target of a link, or alone in its text.

    Each place in the HTML is numbered and has to turn up where it may be when the HTML is parsed as browsers do.
    """
    numbers, nonce = count(), token_hex(8)  # a mark that the HTML cannot contain already
    numbered = re.sub(UNSUBSCRIBE_URL, lambda _: f"{nonce}-{next(numbers)}-", html)
    places = {str(number) for number in range(next(numbers))}
    found = set(_list_places(tinyhtml5.parse(numbered), rf"{nonce}-([0-9]+)-")) if places else set()
    alone = re.findall(rf"(?<!\S){UNSUBSCRIBE_URL}(?!\S)", text)
    return found != places or len(alone) != text.count(UNSUBSCRIBE_URL)


def _list_places(root: Any, mark: str) -> Iterator[str]:
    alone = re.compile(rf"(?<!\S){mark}(?!\S)")  # email programs turn URLs in text into links
    for element in root.iter():
        yield from alone.findall(element.tail or "")
        tag = element.tag if isinstance(element.tag, str) else "style"  # a comment, which Outlook may show
        if tag.rpartition("}")[2] in _RAW_TEXT:
            continue
        yield from alone.findall(element.text or "")
        if tag == f"{_XHTML}a" and (found := re.fullmatch(mark, element.get("href", ""))):
            yield found[1]
