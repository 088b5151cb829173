"""Feeds by feedgen: RSS and Atom of everything, RSS for each tag; full content, stable guids, the digest in each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from feedgen.feed import FeedGenerator

from mailer.edition import Edition

DIGEST_SCHEME = "urn:postmerge:digest"


@dataclass(frozen=True)
class Site:
    """What a feed says about the whole site."""

    name: str
    url: str
    lang: str
    subtitle: str


@dataclass(frozen=True)
class Feed:
    """One feed: its title, its path below the site, its entries (newest first)."""

    title: str
    path: str
    editions: Sequence[Edition]


def guid(key: str, site_url: str) -> str:
    """A tag URI (RFC 4151) made from the issue's key: it stays when title, date or URL change."""
    return f"tag:{urlsplit(site_url).hostname or 'localhost'},2026:issue/{key}"


def write(site: Site, feed: Feed, output: Path) -> None:
    """Write an RSS file, or an Atom file when the path says so."""
    made = FeedGenerator()
    own = f"{site.url}/{feed.path}"
    made.id(own)
    made.title(feed.title)
    made.link(href=own, rel="self")
    made.link(href=f"{site.url}/", rel="alternate")
    made.description(site.subtitle or feed.title)
    made.language(site.lang)
    made.generator("Postmerge")
    made.updated(max((edition.dated for edition in feed.editions), default=datetime.fromisoformat("2000-01-01T00:00:00+00:00")))
    made.lastBuildDate(max((edition.dated for edition in feed.editions), default=None))
    for edition in feed.editions:
        _entry(made, edition, site)
    path = output / feed.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.atom_str(pretty=False) if ".atom" in path.name else made.rss_str(pretty=False))


def _entry(made: FeedGenerator, edition: Edition, site: Site) -> None:
    entry = made.add_entry(order="append")
    entry.id(guid(edition.key, site.url))
    entry.guid(guid(edition.key, site.url), permalink=False)
    entry.title(edition.title)
    entry.link(href=edition.url)
    entry.published(edition.dated)
    entry.updated(edition.dated)
    entry.summary(edition.preheader)
    entry.content(edition.body, type="html")
    entry.author(name=site.name, email="")
    entry.category(term=edition.digest, scheme=DIGEST_SCHEME, label=edition.digest)
