"""What email programs do not support of an email's HTML, by the data of caniemail.com, kept here with its date.

``email_support.json`` has, for each CSS property, value, at-rule, element and image format, the programs whose latest version
does not support it. It was made from the npm package caniemail, whose licence (MIT) allows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lxml import html as lxml_html

_DATA = Path(__file__).parent / "email_support.json"
_DECLARATION = re.compile(r"(?:^|[;{])\s*([a-z-]+)\s*:\s*([a-z-]+)?")
_AT_RULE = re.compile(r"@[a-z-]+")


def get_date() -> str:
    """Return the date of the data, as 2026-05-13."""
    return str(_load()["date"])


def list_unsupported(html: str) -> dict[str, tuple[str, ...]]:
    """Return what of an email's HTML some programs do not support, each with those programs."""
    data, root = _load(), lxml_html.document_fromstring(html)
    found: dict[str, tuple[str, ...]] = {}
    for kind, name in _list_features(root):
        if programs := data[kind].get(name):
            found[f"<{name}>" if kind == "html" else name] = tuple(programs)
    return dict(sorted(found.items()))


def _list_features(root: Any) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        yield "html", element.tag
        yield from _list_css(element.get("style", ""))
        if element.tag == "style":
            yield from _list_css(element.text or "")
            yield from (("css", name) for name in _AT_RULE.findall(element.text or ""))
        if element.tag == "img":
            source = element.get("src", "")
            yield "image", "base64" if source.startswith("data:") else urlsplit(source).path.rpartition(".")[2].lower()


def _list_css(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _DECLARATION.findall(text.lower()):
        yield "css", name
        yield "css", f"{name}:{value}"


@cache
def _load() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_DATA.read_text(encoding="utf-8"))
    return found
