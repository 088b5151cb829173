"""RSS and Atom files, and WordPress's export (WXR), which is RSS with elements of its own."""

from __future__ import annotations

import re
from calendar import timegm
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape, unescape
from typing import Any
from urllib.parse import urlsplit
from xml.parsers import expat

import feedparser

from mailer.archives.archive_files import ArchiveContents
from mailer.archives.dates_of_posts import read_post_date
from mailer.archives.html_to_markdown import convert_html
from mailer.archives.posts import ImportedPost, PostArchive
from mailer.archives.wordpress_markup import expand_markup
from mailer.core.characters import printable

_SUFFIXES = (".xml", ".rss", ".atom", ".rdf")
_HEAD_CHARS = 4_000
_FEED = re.compile(r"<(?:rss|feed|rdf:RDF)[\s>]", re.IGNORECASE)
_ROOT = re.compile(rb"<\0?(?:r\0?s\0?s|f\0?e\0?e\0?d|r\0?d\0?f)", re.IGNORECASE)  # in UTF-16 too
_ENTITY = re.compile(rb"<\0?!\0?E\0?N\0?T\0?I\0?T\0?Y", re.IGNORECASE)
_WORDPRESS = re.compile(r"wordpress\.org/export/")
_FEW_CHARS = 400
_FAR_YEAR = 2200  # feedparser makes some date of anything, such as 9999-99-99
_LEFT_OUT = ("trash", "auto-draft", "inherit")
_TOOLS = ("Feed", "WordPress")
_AUTHOR = re.compile(
    rb"<wp:author_login>(?:<!\[CDATA\[)?([^<\]]*).{0,400}?<wp:author_display_name>(?:<!\[CDATA\[)?([^<\]]*)", re.DOTALL
)


def recognize(files: ArchiveContents) -> bool:
    """Return whether there is a feed among the files."""
    return any(_FEED.search(head) for _, head in _list_heads(files))


def recognize_wordpress(files: ArchiveContents) -> bool:
    """Return whether there is an export of WordPress among the files."""
    return any(_WORDPRESS.search(head) for _, head in _list_heads(files))


def read_archive(files: ArchiveContents) -> PostArchive:
    """Read the entries of all feeds."""
    archive = PostArchive(_TOOLS[recognize_wordpress(files)])
    single = len(files.names) == 1
    for name in files.names:
        if name.lower().endswith(_SUFFIXES) or single:
            _read_feed(archive, files, name)
    return archive


def _list_heads(files: ArchiveContents) -> Iterator[tuple[str, str]]:
    """The beginnings of the files that may be feeds."""
    names = [name for name in files.names if name.lower().endswith(_SUFFIXES)] or files.names[:1]
    for name in names:
        yield name, files.read_head(name, _HEAD_CHARS)


def _read_feed(archive: PostArchive, files: ArchiveContents, name: str) -> None:
    data = files.read(name)
    if data is None:
        return
    root = _ROOT.search(data)
    if _ENTITY.search(data, 0, root.start() if root else len(data)):
        archive.remark(name, "This file defines entities, which can expand without an end: left out.")
        return
    try:
        read = feedparser.parse(data, sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # feedparser means to raise nothing, but its parsers do for some inputs
        archive.remark(name, f"This file cannot be read ({type(error).__name__}): left out.")
        return
    if not read.entries:
        archive.remark(name, "There are no entries in this file.")
    elif why := _find_damage(data):
        archive.remark(name, f"This file is damaged, and only what could be read was read ({why}).")
    names = {login.decode("utf-8", "replace"): shown.decode("utf-8", "replace") for login, shown in _AUTHOR.findall(data)}
    skipped: Counter[str] = Counter()
    for number, entry in enumerate(read.entries, 1):
        _read_entry(archive, files, f"{name}, entry {number}", entry, names, skipped)
    for kind, count in sorted(skipped.items()):
        archive.remark(name, f"{count} of the kind {kind[:40]!r} left out: only posts become issues.")


def _find_damage(data: bytes) -> str:
    """Return what makes a file no whole XML, or '': feedparser says nothing about one that ends early."""
    try:
        expat.ParserCreate().Parse(data, True)
    except (expat.ExpatError, ValueError) as error:  # an unknown encoding is a ValueError
        return str(error)
    return ""


def _read_entry(
    archive: PostArchive, files: ArchiveContents, where: str, entry: Mapping[str, Any], names: Mapping[str, str],
    skipped: Counter[str],
) -> None:  # fmt: skip
    kind, status = str(entry.get("wp_post_type") or "post"), str(entry.get("wp_status") or "publish")
    if kind != "post" or status in _LEFT_OUT:
        skipped[kind if kind != "post" else status] += 1
        return
    title = _read_title(entry)
    where = f"{where} ({printable(title)[:60]})" if title else where
    contents, link = entry.get("content") or [], str(entry.get("link") or "")
    html = str(contents[0].get("value") or "") if contents else str(entry.get("summary") or "")
    plain = (contents[0] if contents else entry.get("summary_detail") or {}).get("type") == "text/plain"
    html = f"<p>{escape(html)}</p>" if plain else html
    if "wp_post_type" in entry:
        html, lost = expand_markup(html)
        for sentence in lost:
            archive.remark(where, sentence)
    elif not contents and len(html) < _FEW_CHARS:
        archive.remark(where, "The feed has only a summary of this entry.")
    text = convert_html(html, files.find_picture, base=link)
    for sentence in text.lost:
        archive.remark(where, sentence)
    if entry.get("wp_post_password"):
        archive.remark(where, "It was behind a password, and became a draft.")
    archive.posts.append(
        ImportedPost(
            where=where,
            title=title,
            body=text.body,
            date=_read_date(entry),
            slug=str(entry.get("wp_post_name") or ""),
            address=link if _has_path(link) else "",
            tags=tuple(_list_tags(entry)),
            authors=tuple(names.get(name, name) for one in entry.get("authors") or () if (name := str(one.get("name") or ""))),
            summary=_read_summary(entry, bool(contents)),
            draft=status != "publish" or bool(entry.get("wp_post_password")),
            pictures=text.pictures,
        )
    )


def _read_title(entry: Mapping[str, Any]) -> str:
    """Return the title as plain words: in WordPress, and where a feed says so, it is HTML."""
    title = str(entry.get("title") or "")
    if "wp_post_type" in entry or (entry.get("title_detail") or {}).get("type") in ("text/html", "application/xhtml+xml"):
        title = unescape(re.sub(r"</?[a-zA-Z][^<>]{0,1000}>", "", title))
    return title


def _read_date(entry: Mapping[str, Any]) -> datetime | None:
    if written := read_post_date(entry.get("wp_post_date_gmt")):
        return written
    parts = entry.get("published_parsed") or entry.get("created_parsed")
    if not parts and "updated_parsed" in entry:
        parts = entry["updated_parsed"]
    try:
        return datetime.fromtimestamp(timegm(parts), UTC) if parts and 1 < parts[0] < _FAR_YEAR else None
    except (ValueError, OverflowError, OSError):
        return None


def _read_summary(entry: Mapping[str, Any], has_content: bool) -> str:
    """Return the excerpt, or the summary beside a full text, as plain words."""
    html = str(entry.get("excerpt_encoded") or "")
    if has_content and "wp_post_type" not in entry and entry.get("summary") != entry["content"][0].get("value"):
        html = str(entry.get("summary") or "")
    return "" if len(html) > 2_000 else " ".join(re.sub(r"<[^>]*>", " ", html).split())[:300]


def _list_tags(entry: Mapping[str, Any]) -> Iterator[str]:
    for tag in entry.get("tags") or ():
        name = str(tag.get("label") or tag.get("term") or "")
        if name and name.lower() != "uncategorized" and tag.get("scheme") not in ("nav_menu", "post_format"):
            yield name


def _has_path(link: str) -> bool:
    """Is it an address that can be redirected, and not a query such as ``/?p=12``?"""
    try:
        return bool(urlsplit(link).path.strip("/")) and not urlsplit(link).query
    except ValueError:
        return False
