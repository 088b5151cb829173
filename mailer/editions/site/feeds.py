"""Feeds: RSS and Atom by feedgen, JSON Feed 1.1; of all issues, of each tag, and of the issues with a recording.

Full content, guids that outlive a rename, the digest in each entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from feedgen.feed import FeedGenerator

from mailer.core.edition import Edition
from mailer.editions.source.page_extras import Extras

DIGEST_SCHEME = "urn:postmerge:digest"
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FeedSite:
    """The site that a feed is for; ``style`` is the address of the style sheet for browsers."""

    name: str
    url: str
    lang: str
    subtitle: str
    style: str = ""
    image: str = ""


@dataclass(frozen=True)
class Feed:
    """One feed: its title, its path below the site, its entries (newest first) and the extras of each by key."""

    title: str
    path: str
    editions: Sequence[Edition]
    extras: Mapping[str, Extras] = field(default_factory=dict)
    podcast: bool = False

    def beside(self, edition: Edition) -> Extras:
        """Return the extras of one entry."""
        return self.extras.get(edition.key) or Extras()

    def guid(self, edition: Edition, site: FeedSite) -> str:
        """Return the guid of one entry."""
        return guid(self.beside(edition).lasting(edition.key), site.url)


def guid(key: str, site_url: str) -> str:
    """Return a tag URI (RFC 4151) made from the issue's key: it stays the same when title, date or URL change."""
    return f"tag:{urlsplit(site_url).hostname or 'localhost'},2026:issue/{key}"


def write(site: FeedSite, feed: Feed, output: Path) -> None:
    """Write a JSON, Atom or RSS file, depending on the path."""
    path = output / feed.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_bytes(orjson.dumps(json_feed(site, feed), option=orjson.OPT_INDENT_2))
        return
    made = _generator(site, feed)
    data = made.atom_str(pretty=False) if ".atom" in path.name else made.rss_str(pretty=False)
    path.write_bytes(_styled(data, site.style))


def json_feed(site: FeedSite, feed: Feed) -> dict[str, Any]:
    """Build a JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/)."""
    head = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": f"{site.url}/",
        "feed_url": f"{site.url}/{feed.path}",
        "description": site.subtitle or feed.title,
        "language": site.lang,
        "authors": [{"name": site.name, "url": f"{site.url}/"}],
    }
    return {**head, "items": [_item(site, feed, edition) for edition in feed.editions]}


def _item(site: FeedSite, feed: Feed, edition: Edition) -> dict[str, Any]:
    extra = feed.beside(edition)
    item: dict[str, Any] = {
        "id": feed.guid(edition, site),
        "url": edition.url,
        "title": edition.title,
        "content_html": edition.body,
        "summary": extra.summary or edition.preheader,
        "date_published": edition.dated.isoformat(),
        "tags": list(extra.tags),
        "language": edition.lang,
        "_postmerge": {"about": "The digest is the SHA-256 of content_html.", "digest": edition.digest},
    }
    if extra.corrected:
        item["date_modified"] = _changed(edition, extra).isoformat()
    if audio := extra.audio:
        attachment: dict[str, Any] = {"url": audio.url, "mime_type": audio.type, "size_in_bytes": audio.size}
        length = {"duration_in_seconds": audio.seconds} if audio.seconds else {}
        item["attachments"] = [{**attachment, **length}]
    return item


def _generator(site: FeedSite, feed: Feed) -> FeedGenerator:
    made = FeedGenerator()
    own = f"{site.url}/{feed.path}"
    made.id(own)
    made.title(feed.title)
    made.link(href=own, rel="self")
    made.link(href=f"{site.url}/", rel="alternate")
    made.description(site.subtitle or feed.title)
    made.language(site.lang)
    made.generator("Postmerge")
    newest = max((_changed(edition, feed.beside(edition)) for edition in feed.editions), default=_NEVER)
    made.updated(newest)
    made.lastBuildDate(newest)
    if feed.podcast:
        _podcast(made, site)
    for edition in feed.editions:
        _entry(made, edition, site, feed)
    return made


def _podcast(made: FeedGenerator, site: FeedSite) -> None:
    made.load_extension("podcast", atom=False)
    made.podcast.itunes_author(site.name)
    made.podcast.itunes_summary(site.subtitle or site.name)
    made.podcast.itunes_explicit("no")
    made.podcast.itunes_type("episodic")
    made.podcast.itunes_category("Technology")
    if site.image:
        made.podcast.itunes_image(site.image)


def _entry(made: FeedGenerator, edition: Edition, site: FeedSite, feed: Feed) -> None:
    extra, name = feed.beside(edition), feed.guid(edition, site)
    entry = made.add_entry(order="append")
    entry.id(name)
    entry.guid(name, permalink=False)
    entry.title(edition.title)
    entry.link(href=edition.url)
    entry.published(edition.dated)
    entry.updated(_changed(edition, extra))
    entry.summary(extra.summary or edition.preheader)
    entry.content(edition.body, type="html")
    entry.author(name=site.name, email="")
    entry.category(term=edition.digest, scheme=DIGEST_SCHEME, label=edition.digest)
    for tag in extra.tags:
        entry.category(term=tag, label=tag)
    if extra.audio:
        entry.enclosure(extra.audio.url, str(extra.audio.size), extra.audio.type)
        if feed.podcast and extra.audio.seconds:
            entry.podcast.itunes_duration(extra.audio.clock)


def _changed(edition: Edition, extra: Extras) -> datetime:
    """Return when it was corrected, or published."""
    return max(edition.dated, extra.corrected.at) if extra.corrected else edition.dated


def _styled(data: bytes, style: str) -> bytes:
    """Add the style sheet that makes the XML readable in a browser."""
    if not style:
        return data
    head, rest = data.split(b"\n", 1) if data.startswith(b"<?xml") else (b"<?xml version='1.0' encoding='UTF-8'?>", data)
    link = style.replace("&", "&amp;").replace('"', "%22").encode()
    return head + b'\n<?xml-stylesheet type="text/css" href="' + link + b'"?>\n' + rest
