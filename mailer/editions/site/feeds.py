"""Feeds: RSS and Atom by feedgen, JSON Feed 1.1; of all issues, of each tag, and of the issues with a recording.

Full content, guids that outlive a rename, the digest in each entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from feedgen.feed import FeedGenerator

from mailer.editions.site.issues import BuiltIssue, BuiltIssues
from mailer.editions.source.site_config import Site

DIGEST_SCHEME = "urn:postmerge:digest"
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Feed:
    """One feed: its title, its path below the site, and its entries (newest first)."""

    title: str
    path: str
    issues: Sequence[BuiltIssue]
    is_podcast: bool = False


def write_feeds(site: Site, issues: BuiltIssues) -> None:
    """Write the configured feeds."""
    newest_first = [issues.by_key[edition.key] for edition in reversed(issues.editions)]
    for feed in _feeds(site.settings, newest_first):
        _write(site, feed, Path(site.settings["OUTPUT_PATH"]))


def _feeds(settings: Mapping[str, Any], newest_first: Sequence[BuiltIssue]) -> Iterator[Feed]:
    name, reach = settings["SITENAME"], settings.get("FEED_MAX_ITEMS") or 20
    by_tag: dict[Any, list[BuiltIssue]] = defaultdict(list)
    for issue in newest_first:
        for tag in issue.tags:
            by_tag[tag].append(issue)
    for kind in ("ATOM", "RSS", "JSON"):
        if path := settings.get(f"POSTMERGE_FEED_ALL_{kind}"):
            yield Feed(name, path, newest_first[:reach])
        if pattern := settings.get(f"POSTMERGE_TAG_FEED_{kind}"):
            for tag, tagged in by_tag.items():
                yield Feed(f"{name}: {tag.name}", pattern.format(slug=tag.slug), tagged[:reach])
    spoken = [issue for issue in newest_first if issue.extras.audio]
    if spoken and (path := settings.get("POSTMERGE_FEED_PODCAST")):
        yield Feed(name, path, spoken, is_podcast=True)


def _guid(issue: BuiltIssue, site: Site) -> str:
    """Return a tag URI (RFC 4151) made from the issue's key: it stays the same when title, date or URL change."""
    host = urlsplit(site.settings.get("POSTMERGE_FEED_IDS_URL") or site.url).hostname or "localhost"
    return f"tag:{host},2026:issue/{issue.extras.lasting(issue.edition.key)}"


def _write(site: Site, feed: Feed, output: Path) -> None:
    """Write a JSON, Atom or RSS file, depending on the path."""
    path = output / feed.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_bytes(orjson.dumps(_json_feed(site, feed), option=orjson.OPT_INDENT_2))
        return
    made = _generator(site, feed)
    data = made.atom_str(pretty=False) if ".atom" in path.name else made.rss_str(pretty=False)
    path.write_bytes(_styled(data, site))


def _json_feed(site: Site, feed: Feed) -> dict[str, Any]:
    """Build a JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/)."""
    head = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": f"{site.url}/",
        "feed_url": f"{site.url}/{feed.path}",
        "description": site.settings.get("SITESUBTITLE") or feed.title,
        "language": site.lang,
        "authors": [{"name": site.name, "url": f"{site.url}/"}],
    }
    return {**head, "items": [_item(site, issue) for issue in feed.issues]}


def _item(site: Site, issue: BuiltIssue) -> dict[str, Any]:
    edition, extra = issue.edition, issue.extras
    item: dict[str, Any] = {
        "id": _guid(issue, site),
        "url": edition.url,
        "title": edition.title,
        "content_html": edition.body,
        "summary": extra.summary or edition.preheader,
        "date_published": edition.dated.isoformat(),
        "tags": [tag.name for tag in issue.tags],
        "language": edition.lang,
        "_postmerge": {"about": "The digest is the SHA-256 of content_html.", "digest": edition.digest},
    }
    if issue.cover:
        item["image"] = issue.cover.url
    if issue.authors:
        facts = [{"name": one.name, "url": one.url, "avatar": one.picture} for one in issue.authors]
        item["authors"] = [{name: value for name, value in one.items() if value} for one in facts]
    if extra.corrected:
        item["date_modified"] = _changed(issue).isoformat()
    if audio := extra.audio:
        attachment: dict[str, Any] = {"url": audio.url, "mime_type": audio.type, "size_in_bytes": audio.size}
        length = {"duration_in_seconds": audio.seconds} if audio.seconds else {}
        item["attachments"] = [{**attachment, **length}]
    return item


def _generator(site: Site, feed: Feed) -> FeedGenerator:
    made = FeedGenerator()
    own = f"{site.url}/{feed.path}"
    made.id(own)
    made.title(feed.title)
    made.link(href=own, rel="self")
    made.link(href=f"{site.url}/", rel="alternate")
    made.description(site.settings.get("SITESUBTITLE") or feed.title)
    made.language(site.lang)
    made.generator("Postmerge")
    newest = max(map(_changed, feed.issues), default=_NEVER)
    made.updated(newest)
    made.lastBuildDate(newest)
    made.load_extension("dc", atom=False)
    if feed.is_podcast:
        _podcast(made, site)
    if any(issue.cover for issue in feed.issues):
        made.load_extension("media")
    for issue in feed.issues:
        _entry(made, issue, site, feed.is_podcast)
    return made


def _podcast(made: FeedGenerator, site: Site) -> None:
    made.load_extension("podcast", atom=False)
    made.podcast.itunes_author(site.name)
    made.podcast.itunes_summary(site.settings.get("SITESUBTITLE") or site.name)
    made.podcast.itunes_explicit("no")
    made.podcast.itunes_type("episodic")
    made.podcast.itunes_category("Technology")
    if image := site.settings.get("POSTMERGE_PODCAST_IMAGE"):
        made.podcast.itunes_image(image)


def _entry(made: FeedGenerator, issue: BuiltIssue, site: Site, is_podcast: bool) -> None:
    edition, extra, name = issue.edition, issue.extras, _guid(issue, site)
    entry = made.add_entry(order="append")
    entry.id(name)
    entry.guid(name, permalink=False)
    entry.title(edition.title)
    entry.link(href=edition.url)
    entry.published(edition.dated)
    entry.updated(_changed(issue))
    entry.summary(extra.summary or edition.preheader)
    entry.content(edition.body, type="html")
    for one in issue.authors:
        entry.author({"name": one.name, **({"uri": one.url} if one.url else {})})
        entry.dc.dc_creator(one.name)
    if not issue.authors:
        entry.author(name=site.name, email="")
    entry.category(term=edition.digest, scheme=DIGEST_SCHEME, label=edition.digest)
    for tag in issue.tags:
        entry.category(term=tag.name, label=tag.name)
    if cover := issue.cover:
        entry.media.thumbnail(url=cover.url, width=str(cover.width), height=str(cover.height), group=None)
    if extra.audio:
        entry.enclosure(extra.audio.url, str(extra.audio.size), extra.audio.type)
        if is_podcast and extra.audio.seconds:
            entry.podcast.itunes_duration(extra.audio.clock)


def _changed(issue: BuiltIssue) -> datetime:
    """Return when it was corrected, or published."""
    dated, corrected = issue.edition.dated, issue.extras.corrected
    return max(dated, corrected.at) if corrected else dated


def _styled(data: bytes, site: Site) -> bytes:
    """Add the theme's style sheet that makes the XML readable in a browser, if it has one."""
    if not (site.theme / "static" / "css" / "feed.css").is_file():
        return data
    style = f"{site.url}/{site.settings.get('THEME_STATIC_DIR', 'theme')}/css/feed.css"
    head, rest = data.split(b"\n", 1) if data.startswith(b"<?xml") else (b"<?xml version='1.0' encoding='UTF-8'?>", data)
    link = style.replace("&", "&amp;").replace('"', "%22").encode()
    return head + b'\n<?xml-stylesheet type="text/css" href="' + link + b'"?>\n' + rest
