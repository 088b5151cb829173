"""Buttondown: the tree that its command line pulls (Markdown with ``subject:``), and its export of emails as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailer.archives import markdown_posts
from mailer.archives.archive_files import ArchiveContents
from mailer.archives.html_to_markdown import convert_html
from mailer.archives.markdown_posts import read_date_field, read_list_field, read_text_field
from mailer.archives.posts import ImportedPost, PostArchive

_HEAD_CHARS = 4_000
_MODE = re.compile(r"<!--\s*buttondown-editor-mode:\s*(\w+)\s*-->\s*", re.IGNORECASE)
_SENT = ("sent", "imported", "published", "resending", "in_flight", "about_to_send", "throttled", "")
_PAID = ("premium", "paid")
_HIDDEN = ("private", "hidden", "suspended", "churned", "archival")
_TAG = re.compile(r"\{\{[^{}\n]{1,200}\}\}|\{%[^%\n]{1,200}%\}")


def recognize(files: ArchiveContents) -> bool:
    """Return whether there is a text of Buttondown among the files."""
    for name in files.names:
        head = files.read_head(name, _HEAD_CHARS) if name.endswith((".md", ".json", ".csv")) else ""
        if name.endswith(".md") and re.search(r"\A---\n(?:.*\n)*?subject:", head):
            return True
        if {"subject", "body", "publish_date"} <= {*re.findall(r"\w+", head)}:
            return True
    return False


def read_archive(files: ArchiveContents) -> PostArchive:
    """Read all emails."""
    archive = PostArchive("Buttondown")
    for name in files.names:
        for where, fields in _list_emails(archive, files, name):
            if fields.get("subject") is not None:
                _read_email(archive, files, where, posixpath.dirname(name), fields)
    return archive


def _list_emails(archive: PostArchive, files: ArchiveContents, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if name.endswith(".md"):
        read = markdown_posts.split_front_matter(files.read_text(name) or "")
        if read:
            if read.wrong:
                archive.remark(name, f"{read.wrong}.")
            stem = posixpath.splitext(posixpath.basename(name))[0]
            yield name, {"slug": stem, **read.fields, "body": read.body}
    elif name.endswith(".json"):
        try:
            found = json.loads(files.read_text(name) or "null")
        except (ValueError, RecursionError):
            archive.remark(name, "This file is not valid JSON: left out.")
            return
        rows = found.get("results") or found.get("emails") if isinstance(found, dict) else found
        for number, row in enumerate(rows if isinstance(rows, list) else [], 1):
            if isinstance(row, dict):
                yield f"{name}, email {number}", row
    elif name.endswith(".csv"):
        rows_of_table = csv.DictReader(io.StringIO(files.read_text(name) or ""))
        try:
            for row in rows_of_table:
                yield (
                    f"{name}, line {rows_of_table.line_num}",
                    {key: value for key, value in row.items() if isinstance(key, str)},
                )
        except csv.Error as error:
            archive.remark(f"{name}, line {rows_of_table.line_num}", f"The table cannot be read from here on ({error}).")


def _read_email(archive: PostArchive, files: ArchiveContents, where: str, folder: str, fields: Mapping[str, Any]) -> None:
    body, kind = str(fields.get("body") or ""), read_text_field(fields, "email_type", "archival_mode").lower()
    mode = _MODE.match(body)
    body = _MODE.sub("", body, count=1)
    if (mode and mode[1].lower() == "fancy") or re.match(r"\s*<(p|div|h[1-6]|table|figure|ul|ol)\b", body):
        text = convert_html(body, files.find_picture)
    else:
        text = markdown_posts.convert_markdown(body, folder, files)
    body, pictures, lost = text.body, text.pictures, text.lost
    if tags := _TAG.findall(body):
        lost.append(f"{len(tags)} of Buttondown's template tags stay in the text as they are, such as {tags[0][:60]}.")
    status = read_text_field(fields, "status").lower()
    is_draft = status not in _SENT or kind in _HIDDEN
    if kind in _HIDDEN:
        lost.append(f"It was not public ({kind}), and became a draft.")
    for sentence in lost:
        archive.remark(where, sentence)
    slug = read_text_field(fields, "slug")
    archive.posts.append(
        ImportedPost(
            where=where,
            title=read_text_field(fields, "subject", "title"),
            body=body,
            date=read_date_field(fields, "publish_date", "creation_date"),
            slug=slug,
            address=read_text_field(fields, "absolute_url") or (f"/archive/{slug}/" if slug and not is_draft else ""),
            tags=tuple(read_list_field(fields, "topics")),
            summary=read_text_field(fields, "description"),
            premium=kind in _PAID,
            draft=is_draft,
            pictures=pictures,
        )
    )
