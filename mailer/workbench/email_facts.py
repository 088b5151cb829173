"""Facts about an email for the report on a change: its size, links, and what programs do not support, beside the last issue."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from mailer.core.edition import Edition
from mailer.editions.mail.gmail_clipping import MAX_HTML_BYTES
from mailer.workbench import email_support

_MAX_FEATURES = 12
_LINK = re.compile(r'<a\b[^>]*?\bhref="([^"]*)"', re.IGNORECASE)


def find_last_issue(edition: Edition, made: Sequence[Edition]) -> Edition | None:
    """Return the newest issue that is older than an edition."""
    older = [one for one in made if one.dated < edition.dated and one.key != edition.key]
    return max(older, key=lambda one: one.dated, default=None)


def describe_size(now: Edition, last: Edition | None) -> str:
    """Return the size of the HTML and the number of words, with the last issue's."""
    words, size = len(now.text.split()), len(now.html.encode()) / 1024
    before = f" (last issue: {len(last.html.encode()) / 1024:.0f} KB, {len(last.text.split()):,} words)" if last else ""
    return f"{size:.0f} of {MAX_HTML_BYTES // 1024} KB, {words:,} words{before}"


def compare_links(now: Edition, before: Edition | None) -> tuple[list[str], list[str]]:
    """Return the addresses that the text links to now and did not before, and those that are gone."""
    new, old = _list_links(now), _list_links(before) if before else []
    return [one for one in new if one not in old], [one for one in old if one not in new]


def list_unsupported(now: Edition, last: Edition | None) -> tuple[list[str], int]:
    """Return what some email programs do not support and the last issue did not have, and how much both have."""
    found = email_support.list_unsupported(now.html)
    known = email_support.list_unsupported(last.html) if last else {}
    new = [f"`{name}` ({', '.join(programs)})" for name, programs in found.items() if name not in known]
    return new[:_MAX_FEATURES], len(set(found) & set(known))


def _list_links(edition: Edition) -> list[str]:
    return list(dict.fromkeys(map(html.unescape, _LINK.findall(edition.body))))
