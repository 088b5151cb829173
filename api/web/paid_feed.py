"""A paying subscriber's private feed: Atom with the full text."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from feedgen.feed import FeedGenerator

from mailer.store.publishing.editions import ReadableIssue


def render_atom(site_name: str, base: str, issues: Sequence[ReadableIssue]) -> bytes:
    """Render an Atom feed (RFC 4287); ``base`` is the URL of the subscriber's private pages."""
    made = FeedGenerator()
    made.id(base)
    made.title(f"{site_name}: everything")
    made.link(href=base, rel="alternate")
    made.link(href=f"{base}/feed.xml", rel="self")
    for one in reversed(issues):
        entry = made.add_entry()
        entry.id(one.url)
        entry.title(one.title)
        entry.link(href=f"{base}/{quote(one.key)}")
        entry.updated(one.at)
        entry.content(one.body, type="html")
    if not issues:
        made.updated("1970-01-01T00:00:00Z")
    return bytes(made.atom_str(pretty=False))
