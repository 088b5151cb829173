"""Substack's export: a ZIP file with ``posts.csv`` and one HTML file a post.

Columns: post_id (``123.slug``), post_date, is_published, type, audience, title, subtitle, podcast_url. It has no pictures.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re

from bs4 import BeautifulSoup, Tag

from mailer.archives.archive_files import ArchiveContents
from mailer.archives.dates_of_posts import read_post_date
from mailer.archives.html_to_markdown import convert_html, replace_by_link
from mailer.archives.paywalls import PAYWALL_WORD, cut_at_paywall
from mailer.archives.posts import ImportedPost, PostArchive

_PAID = ("only_paid", "founding")
_VIDEO = "https://www.youtube.com/watch?v="
_ASKING = ("subscription-widget-wrap", "subscribe-widget", "subscription-widget", "captioned-button-wrap")
_NOTE, _MARK_OF_NOTE = re.compile(r"postmergenote(\d+)ends\s*"), re.compile(r"postmergemark(\d+)ends")


def recognize(files: ArchiveContents) -> bool:
    """Return whether the archive is Substack's export."""
    return any(posixpath.basename(name) == "posts.csv" for name in files.names)


def read_archive(files: ArchiveContents) -> PostArchive:
    """Read all posts; texts are found by their id."""
    archive = PostArchive("Substack")
    table = next((name for name in files.names if posixpath.basename(name) == "posts.csv"), "")
    texts = {posixpath.basename(name).removesuffix(".html"): name for name in files.names if name.endswith(".html")}
    texts = {**{stem.partition(".")[0]: name for stem, name in texts.items()}, **texts}
    rows = csv.DictReader(io.StringIO((files.read_text(table) if table else None) or ""))
    try:
        for row in rows:
            _read_row(archive, files, {key: value or "" for key, value in row.items() if isinstance(key, str)}, texts)
    except csv.Error as error:
        archive.remark(f"{table}, line {rows.line_num}", f"The table cannot be read from here on ({error}).")
    for name in files.names:
        if re.search(r"(email_list|subscribers).*\.csv$", posixpath.basename(name)):
            archive.remark(name, "Subscribers are not imported here: use `postmerge subscribers import`.")
    return archive


def _read_row(archive: PostArchive, files: ArchiveContents, row: dict[str, str], texts: dict[str, str]) -> None:
    identity = row.get("post_id", "").strip()
    name = texts.get(identity) or texts.get(identity.partition(".")[0])
    where = name or f"posts.csv: {identity[:100] or 'a row without post_id'}"
    html = files.read_text(name) if name else None
    if html is None:
        published = row.get("is_published", "").lower() == "true"
        archive.remark(where, f"The text of this {'post' if published else 'draft'} is not in the archive: left out.")
        return
    text = convert_html(html, files.find_picture, [prepare])
    for sentence in text.lost:
        archive.remark(where, sentence)
    if row.get("podcast_url"):
        archive.remark(where, f"The recording was not carried: {row['podcast_url'][:200]} (set `Audio:` and its size).")
    if row.get("type") not in ("newsletter", "podcast", "", None):
        archive.remark(where, f"A {row['type'][:40]} became an issue.")
    slug = identity.partition(".")[2]
    premium, body = row.get("audience", "") in _PAID, _NOTE.sub(r"[^\1]: ", _MARK_OF_NOTE.sub(r"[^\1]", text.body))
    archive.posts.append(
        ImportedPost(
            where=where,
            title=row.get("title", ""),
            body=cut_at_paywall(body, premium),
            date=read_post_date(row.get("post_date", "")),
            slug=slug,
            address=f"/p/{slug}" if slug else "",
            summary=row.get("subtitle", ""),
            premium=premium,
            draft=row.get("is_published", "").strip().lower() != "true",
            pictures=text.pictures,
        )
    )


def prepare(soup: BeautifulSoup, lost: list[str]) -> None:
    """Turn Substack's widgets into plain HTML."""
    removed = 0
    for element in soup.find_all(class_=_ASKING):
        removed += 1
        element.decompose()
    for element in soup.find_all(class_="button-wrapper"):
        link = element.find("a")
        if not isinstance(link, Tag) or re.search(r"%%|action=share|/subscribe\b", str(link.get("href"))):
            removed += 1
            element.decompose()
    if removed:
        lost.append(f"{removed} subscribe or share {'button' if removed == 1 else 'buttons'} removed.")
    for element in soup.select("[data-attrs]"):
        if (
            not element.decomposed
            and not element.find_parent(lambda parent: parent.has_attr("data-attrs"))
            and element.name != "a"
        ):
            _replace_widget(element, lost)
    for element in soup.find_all(class_="paywall-jump"):
        element.replace_with(f" {PAYWALL_WORD} ")
    _write_footnotes(soup)


def _replace_widget(element: Tag, lost: list[str]) -> None:
    """Put a link in the place of an embed, by the address in its ``data-attrs``; pictures stay."""
    if element.find("img") or element.name == "img":
        return
    try:
        facts = json.loads(str(element["data-attrs"]))
    except ValueError:
        return
    facts = facts if isinstance(facts, dict) else {}
    url = f"{_VIDEO}{facts['videoId']}" if facts.get("videoId") else str(facts.get("canonical_url") or facts.get("url") or "")
    if url.startswith(("https://", "http://")) and len(url) < 2000:
        text = " ".join(str(facts.get("title") or facts.get("full_text") or "").split())[:200]
        replace_by_link(element, url, text)
        lost.append(f"Embedded content became a link: {url[:200]}.")


def _write_footnotes(soup: BeautifulSoup) -> None:
    """Turn anchors and notes into words that stay whole in Markdown, and then are its footnotes."""
    for note in soup.find_all(class_="footnote"):
        number, content = note.find(class_="footnote-number"), note.find(class_="footnote-content")
        if isinstance(number, Tag) and isinstance(content, Tag) and number.get_text(strip=True).isdecimal():
            mark = f"postmergenote{number.get_text(strip=True)}ends"
            number.decompose()
            for paragraph in content.find_all("p"):
                paragraph.append(" ")
                paragraph.unwrap()
            content.insert(0, f"{mark} ")
    for anchor in soup.find_all("a", class_="footnote-anchor"):
        if (number_text := anchor.get_text(strip=True)).isdecimal():
            anchor.replace_with(f"postmergemark{number_text}ends")
