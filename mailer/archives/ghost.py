"""Ghost's export: one JSON file of its tables, and a folder ``content/images`` that is copied beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from html import escape
from typing import Any

from bs4 import BeautifulSoup, Comment

from mailer.archives.archive_files import ArchiveContents
from mailer.archives.dates_of_posts import read_post_date
from mailer.archives.html_to_markdown import convert_html
from mailer.archives.paywalls import PAYWALL_WORD, cut_at_paywall
from mailer.archives.posts import ImportedPost, PostArchive

_HEAD_CHARS = 2_000
_OWN_URL = "__GHOST_URL__"
_PAID = ("paid", "tiers")
_PAYWALL = "members-only"
_ASKING = ("kg-signup-card", "kg-cta-card", "kg-product-card", "kg-header-card")


def recognize(files: ArchiveContents) -> bool:
    """Return whether there is an export of Ghost among the files."""
    names = [name for name in files.names if name.endswith(".json")]
    return any('"db"' in (head := files.read_head(name, _HEAD_CHARS)) and '"meta"' in head for name in names)


def read_archive(files: ArchiveContents) -> PostArchive:
    """Read the posts of all JSON files that have Ghost's tables."""
    archive = PostArchive("Ghost")
    for name in files.names:
        if not name.endswith(".json") or (data := files.read(name)) is None:
            continue
        try:
            tables = _find_tables(json.loads(data))
        except (ValueError, RecursionError) as error:
            archive.remark(name, f"This file is not valid JSON ({type(error).__name__}): left out.")
            continue
        if tables is not None:
            _read_tables(archive, files, name, tables)
    return archive


def _find_tables(found: Any) -> dict[str, list[dict[str, Any]]] | None:
    whole = found["db"][0] if isinstance(found, dict) and isinstance(found.get("db"), list) and found["db"] else found
    tables = whole.get("data") if isinstance(whole, dict) else None
    if not isinstance(tables, dict) or not isinstance(tables.get("posts"), list):
        return None
    return {name: [row for row in rows if isinstance(row, dict)] for name, rows in tables.items() if isinstance(rows, list)}


def _read_tables(archive: PostArchive, files: ArchiveContents, name: str, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    tags = _join(tables, "posts_tags", "tag_id", "tags")
    authors = _join(tables, "posts_authors", "author_id", "users")
    metas = {row.get("post_id"): row for row in tables.get("posts_meta", ())}
    pages = 0
    for number, row in enumerate(tables["posts"], 1):
        if row.get("type") == "page" or row.get("page") in (1, True):
            pages += 1
            continue
        post = {**row, "names_of_tags": tags[row.get("id")], "names_of_authors": authors[row.get("id")]}
        _read_post(archive, files, f"{name}, post {number} ({str(row.get('slug') or row.get('id'))[:80]})", post, metas)
    if pages:
        archive.remark(name, f"{pages} {'page' if pages == 1 else 'pages'} left out: only posts become issues.")
    if tables.get("members"):
        archive.remark(name, "Subscribers are not imported here: use `postmerge subscribers import`.")


def _join(tables: Mapping[str, list[dict[str, Any]]], table: str, column: str, named: str) -> dict[Any, list[str]]:
    """The names of what belongs to each post, in its order."""
    names = {row.get("id"): str(row.get("name") or "") for row in tables.get(named, ())}
    found: dict[Any, list[str]] = defaultdict(list)
    for row in sorted(tables.get(table, ()), key=lambda row: str(row.get("sort_order") or 0).zfill(6)):
        if name := names.get(row.get(column)):
            found[row.get("post_id")].append(name)
    return found


def _read_post(
    archive: PostArchive, files: ArchiveContents, where: str, row: Mapping[str, Any], metas: Mapping[Any, Mapping[str, Any]]
) -> None:
    meta = metas.get(row.get("id"), {})
    html = str(row.get("html") or "") or "".join(
        f"<p>{escape(part)}</p>" for part in str(row.get("plaintext") or "").split("\n\n")
    )
    if picture := str(row.get("feature_image") or ""):
        alt = escape(str(meta.get("feature_image_alt") or ""), quote=True)
        html = f'<figure><img src="{escape(picture, quote=True)}" alt="{alt}"></figure>{html}'
    status, premium = str(row.get("status") or "draft"), row.get("visibility") in _PAID
    text = convert_html(html.replace(_OWN_URL, ""), files.find_picture, [prepare])
    for sentence in text.lost:
        archive.remark(where, sentence)
    if status == "sent":
        archive.remark(where, "It was only emailed and never on the web, and became a draft.")
    if row.get("visibility") == "members":
        archive.remark(where, "It was for those who had signed up; here everybody can read it.")
    slug = str(row.get("slug") or "")
    archive.posts.append(
        ImportedPost(
            where=where,
            title=str(row.get("title") or ""),
            body=cut_at_paywall(text.body, premium),
            date=read_post_date(row.get("published_at") or (row.get("created_at") if status == "sent" else "")),
            slug=slug,
            address=f"/{slug}/" if slug and status == "published" else "",
            tags=tuple(name for name in row["names_of_tags"] if not name.startswith("#")),
            authors=tuple(row["names_of_authors"]),
            summary=str(row.get("custom_excerpt") or ""),
            premium=premium,
            draft=status != "published",
            pictures=text.pictures,
        )
    )


def prepare(soup: BeautifulSoup, lost: list[str]) -> None:
    """Turn Ghost's cards into plain HTML."""
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        if comment.strip() == _PAYWALL:
            comment.replace_with(f" {PAYWALL_WORD} ")
    asking = soup.find_all(class_=_ASKING)
    for element in asking:
        element.decompose()
    if asking:
        lost.append(f"{len(asking)} sign-up or product {'card' if len(asking) == 1 else 'cards'} removed.")
    for card in soup.find_all(class_="kg-bookmark-card"):
        link, title = card.find("a", href=True), card.find(class_="kg-bookmark-title")
        if link:
            link.string = title.get_text(" ", strip=True) if title else str(link["href"])
            paragraph = soup.new_tag("p")
            card.replace_with(paragraph)
            paragraph.append(link)
