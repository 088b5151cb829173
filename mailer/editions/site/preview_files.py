"""The files of a built site for its preview: links lead to each other wherever the preview is, and paid pages are apart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mailer.core.edition import Edition, spoken_in
from mailer.exchange.site_preview import MAX_PREVIEW_BYTES, MAX_PREVIEW_FILES, MEDIA_TYPES, PAID, SITE

_WITH_LINKS = (".html", ".css", ".xml")
_COMPRESSED = 4  # how much smaller text gets when it is packed, at least
_HEAD_BYTES = 600  # of a file in a packed archive


@dataclass(frozen=True)
class PreviewFiles:
    """What is in a preview: contents by path, and how many large files stay where the live site has them."""

    files: Mapping[str, bytes]
    left_out: int


def collect_preview(site: Path, site_url: str, editions: Iterable[Edition]) -> PreviewFiles:
    """Collect the files of a built site.

    Scripts are left out, as are the largest files beyond what a preview may have: links to those lead to the live site.
    """
    chosen, left_out = _choose_files(site)
    known = {path for path, _ in chosen}
    read = {path: (site / path).read_bytes() for path, _ in chosen}
    found = {f"{SITE}/{path}": _relink(path, data, site_url, known) for path, data in read.items()}
    for edition in editions:
        for path, page in _list_paid_pages(edition, site_url, read):
            found[f"{PAID}/{path}"] = _relink(path, page, site_url, known)
    return PreviewFiles(found, left_out)


def _choose_files(site: Path) -> tuple[list[tuple[str, int]], int]:
    """Paths and sizes of what is shown, the smallest first; and how many are left out."""
    every = [
        (path.relative_to(site).as_posix(), path.stat().st_size)
        for path in site.rglob("*")
        if path.is_file() and path.suffix.lower() in MEDIA_TYPES
    ]
    every.sort(key=lambda one: (Path(one[0]).suffix.lower() not in _WITH_LINKS, one[1], one[0]))
    left, chosen = MAX_PREVIEW_BYTES, []
    for path, size in every[: MAX_PREVIEW_FILES // 2]:  # the other half is for pages with paid text
        left -= _HEAD_BYTES + (size // _COMPRESSED if path.endswith(_WITH_LINKS) else size)
        if left < 0:
            break
        chosen.append((path, size))
    return chosen, len(every) - len(chosen)


def _list_paid_pages(edition: Edition, site_url: str, pages: Mapping[str, bytes]) -> Iterable[tuple[str, bytes]]:
    """The pages of an issue as paid subscribers would read them."""
    free = {"": edition.body, **{one.name: one.body for one in edition.variants if not one.premium}}
    for variant in edition.variants:
        if not variant.premium:
            continue
        url, body = variant.url or edition.url, free.get(spoken_in(variant.name), "")
        path = unquote(urlsplit(url).path.removeprefix(urlsplit(site_url).path).lstrip("/"))
        path = f"{path}index.html" if path.endswith("/") or not path else path
        page = pages.get(path, b"").decode()
        if body and body in page:
            yield path, page.replace(body, variant.body, 1).encode()


def _relink(path: str, data: bytes, site_url: str, known: set[str]) -> bytes:
    """Make links to other files of the preview relative; all others stay as they are."""
    if not path.endswith(_WITH_LINKS) or not site_url:
        return data
    start = os.path.dirname(path) or "."

    def relative(match: re.Match[str]) -> str:
        asked, rest = match["path"].lstrip("/"), match["rest"]
        plain = unquote(asked)
        target = f"{plain}index.html" if plain.endswith("/") or not plain else plain
        if target not in known:
            return match[0]
        link = os.path.relpath(asked or ".", start)
        return (link + "/" if asked.endswith("/") or not asked else link) + rest

    link = re.compile(
        rf"(?<![\w.:/-]){re.escape(site_url)}(?P<path>(?:/[^\s\"'<>()?#]*)?)(?P<rest>(?:[?#][^\s\"'<>()]*)?)(?![\w.-])"
    )
    return link.sub(relative, data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
