"""The files of a built site for its preview: links lead to each other wherever the preview is, and paid pages are apart."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mailer.core.edition import Edition, spoken_in
from mailer.exchange.site_preview import MAX_PREVIEW_BYTES, MAX_PREVIEW_FILES, MEDIA_TYPES, PAID, SITE

_WITH_LINKS = (".html", ".css", ".xml")
_COMPRESSED = 4  # how much smaller text gets when it is packed, at least
_MAX_NEWEST_ISSUES = 10  # whose pictures come first
_HEAD_BYTES = 600  # of a file in a packed archive


@dataclass(frozen=True)
class PreviewFiles:
    """What is in a preview: contents by path, and the large files that stay where the live site has them, if it has."""

    files: Mapping[str, bytes]
    left_out: Sequence[str]


def collect_preview(
    site: Path, site_url: str, editions: Iterable[Edition], changed: Collection[str] = ()
) -> PreviewFiles:  # fmt: skip
    """Collect the files of a built site.

    Scripts are left out, as are the largest files beyond what a preview may have: links to those lead to the live site. The
    pictures that the branch changed come first, then those of the issues that it changed, then those of the newest issues,
    since the live site may not have them. ``changed`` has the paths of the branch's sources, as ``Edition.paths`` names them.
    """
    editions = sorted(editions, key=lambda one: (not changed or set(changed).isdisjoint(one.paths), -one.dated.timestamp()))
    chosen, left_out = _choose_files(site, site_url, editions, {PurePosixPath(path).name for path in changed})
    known = set(chosen)
    read = {path: (site / path).read_bytes() for path in chosen}
    found = {f"{SITE}/{path}": _relink(path, data, site_url, known) for path, data in read.items()}
    for edition in editions:
        for path, page in _list_paid_pages(edition, site_url, read):
            found[f"{PAID}/{path}"] = _relink(path, page, site_url, known)
    return PreviewFiles(found, left_out)


def _choose_files(
    site: Path, site_url: str, editions: Sequence[Edition], changed: Collection[str]
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Paths of what is shown, pages first, then files of changed names, then the pictures of the issues in their order, then
    the smallest; and of what is not.
    """
    sizes = {
        path.relative_to(site).as_posix(): path.stat().st_size
        for path in site.rglob("*")
        if path.is_file() and path.suffix.lower() in MEDIA_TYPES
    }
    ranks = {path: rank for rank, path in reversed(list(enumerate(_list_shown(editions, site_url))))}
    last = len(ranks) + 1

    def rank(path: str) -> tuple[bool, bool, int, int, str]:
        is_new = PurePosixPath(path).name in changed
        return not _has_links(path), not is_new, ranks.get(path, last), sizes[path], path

    every = sorted(sizes, key=rank)
    left, chosen, left_out = MAX_PREVIEW_BYTES, [], every[MAX_PREVIEW_FILES // 2 :]  # that half is for pages with paid text
    for path in every[: MAX_PREVIEW_FILES // 2]:
        needed = _HEAD_BYTES + (sizes[path] // _COMPRESSED if _has_links(path) else sizes[path])
        if needed > left:
            left_out.append(path)
        else:
            left -= needed
            chosen.append(path)
    return chosen, left_out


def _list_shown(editions: Sequence[Edition], site_url: str) -> Iterator[str]:
    """Paths of the files that the issues' bodies show, in the order of the issues."""
    for edition in editions[:_MAX_NEWEST_ISSUES]:
        for body in (edition.body, *(one.body for one in edition.variants)):
            for found in re.finditer(rf"{re.escape(site_url)}/([^\s\"'<>()?#,]+)", body):
                yield unquote(found[1])


def _has_links(path: str) -> bool:
    return Path(path).suffix.lower() in _WITH_LINKS


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
