"""Where the posts of an archive go: one file in the content folder for each, at an address that nobody else has."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from mailer.archives.picture_links import describe_elsewhere, list_elsewhere
from mailer.archives.posts import PICTURE, ImportedPost, ImportRemark, PostArchive
from mailer.core.characters import clean
from mailer.editions.source import front_matter
from mailer.editions.source.front_matter import Source, slugify
from mailer.editions.source.site_config import EXTENSIONS, Site
from mailer.editions.source.slugs import File

MAX_SLUG_CHARS = 80


@dataclass(frozen=True)
class ImportedFile:
    """One file to write. ``path`` is relative to the content folder; ``pictures`` maps further such paths to archive files."""

    path: str
    text: str
    post: ImportedPost
    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PresentFile:
    """A post that is in the content folder already, and the path of its file there."""

    path: str
    post: ImportedPost


@dataclass
class ArchiveImport:
    """What an import would do now. ``fetched`` counts the pictures that came from other hosts."""

    tool: str
    files: list[ImportedFile] = field(default_factory=list)
    present: list[PresentFile] = field(default_factory=list)
    fetched: int = 0
    remarks: list[ImportRemark] = field(default_factory=list)


@dataclass(frozen=True)
class _Holder:
    """A file of the content folder, as far as it may be a post that was imported before."""

    path: str
    title: str
    dated: datetime | None
    addresses: frozenset[str]


def plan_import(archive: PostArchive, site: Site, links_stay: bool = True) -> ArchiveImport:
    """Decide where each post goes, oldest first, so that the same archive always gives the same files.

    ``links_stay``: pictures on other hosts stay links, which the report says.
    """
    plan = ArchiveImport(archive.tool, remarks=list(archive.remarks))
    layout = _Layout(site, plan, links_stay)
    dated = [_set_zone(post, ZoneInfo(site.zone)) for post in archive.posts]
    for post in sorted(dated, key=lambda one: (one.date or datetime.max.replace(tzinfo=UTC), one.where)):
        layout.place(post)
    return plan


class _Layout:
    def __init__(self, site: Site, plan: ArchiveImport, links_stay: bool) -> None:
        self._plan, self._zone, self._links_stay = plan, ZoneInfo(site.zone), links_stay
        self._by_slug: dict[str, _Holder] = {}
        self._by_address: dict[str, _Holder] = {}
        self._addresses: dict[str, str] = {}  # of this archive's posts, with the first post's place
        self._used: set[str] = set()
        self._folder = "issues" if (site.root / "issues").is_dir() or not any(site.root.glob("*.md")) else ""
        for slug, holder in _list_holders(site):
            self._by_slug.setdefault(slug, holder)
            for address in holder.addresses:
                self._by_address.setdefault(address, holder)

    def place(self, post: ImportedPost) -> None:
        """Plan one post's file, unless the post is in the content folder already."""
        post = self._settle(post)
        holder = self._by_address.get(post.address) if post.address else None
        slug = "" if holder else self._find_slug(post)
        holder = holder or self._by_slug.get(slug)
        if holder:
            self._plan.present.append(PresentFile(holder.path, post))
            self._used.add(slug)
            return
        if re.search(r"[/\\]", unquote(post.slug)):
            self._remark(post, f"Its name {post.slug[:200]!r} has a slash, so this post is at {slug!r}.")
        if slug != (wanted := _name_post(post)):
            self._remark(post, f"The address {wanted!r} is taken, so this post is at {slug!r}.")
        for sentence in describe_elsewhere(list_elsewhere(post.body)) if self._links_stay else ():
            self._remark(post, sentence)
        self._used.add(slug)
        day = f"{post.date.astimezone(self._zone):%Y-%m-%d}-" if post.date else ""
        day = "" if slug.startswith(day) else day
        pictures = _place_pictures(post, slug)
        body = post.body
        for number, path in sorted(enumerate(pictures), reverse=True):
            body = body.replace(f"{PICTURE}{number}", f"{{static}}/{path}")
        text = f"{self._head(post, slug)}\n{clean(body).strip()}\n"
        self._plan.files.append(
            ImportedFile(
                posixpath.join(self._folder, f"{day}{slug}.md"), text, post, dict(zip(pictures, post.pictures, strict=True))
            )
        )

    def _settle(self, post: ImportedPost) -> ImportedPost:
        """Fill in what an issue needs, and say so."""
        title = " ".join(clean(post.title).split())
        if not title:
            title = _first_words(post.body) or post.slug or "Untitled"
            self._remark(post, f"It has no title, and got {title!r}.")
        if not post.date and not post.draft:
            self._remark(post, "It has no date, and became a draft.")
            post = replace(post, draft=True)
        address = post.address
        if address and self._addresses.setdefault(address, post.where) != post.where:
            self._remark(post, f"The address {address[:200]} belongs to {self._addresses[address]} too, which keeps it.")
            address = ""
        if not post.body.strip():
            self._remark(post, "It has no text, and became a draft.")
            post = replace(post, draft=True)
        return replace(post, title=title, address=address)

    def _find_slug(self, post: ImportedPost) -> str:
        """Return the first free slug, or one whose file is this very post."""
        wanted = _name_post(post)
        for slug in (wanted if number == 1 else f"{wanted}-{number}" for number in count(1)):
            holder = self._by_slug.get(slug)
            if slug not in self._used and (holder is None or self._is_same(post, holder)):
                return slug
        raise AssertionError

    def _is_same(self, post: ImportedPost, holder: _Holder) -> bool:
        dated = post.date and post.date.astimezone(self._zone).replace(second=0, microsecond=0)
        return holder.title == post.title and holder.dated == dated

    def _head(self, post: ImportedPost, slug: str) -> str:
        former = [address for address in (post.address, *post.formerly) if address]
        fields = {
            "Title": post.title,
            "Date": f"{post.date.astimezone(self._zone):%Y-%m-%d %H:%M}" if post.date else "",
            "Slug": slug,
            "Formerly": ", ".join(dict.fromkeys(address.replace(",", "%2C").replace(" ", "%20") for address in former)),
            "Lang": post.lang,
            "Authors": ", ".join(_list_names(post.authors)),
            "Tags": ", ".join(_list_names(post.tags)),
            "Summary": post.summary,
            "Access": "premium" if post.premium else "",
            "Send": "no",
            "Status": "draft" if post.draft else "",
        }
        values = {name: " ".join(clean(value).split()) for name, value in fields.items()}
        return "".join(f"{name}: {value}\n" for name, value in values.items() if value)

    def _remark(self, post: ImportedPost, message: str) -> None:
        self._plan.remarks.append(ImportRemark(post.where, message))


def _set_zone(post: ImportedPost, zone: ZoneInfo) -> ImportedPost:
    """A date without a zone is in the newsletter's."""
    return replace(post, date=post.date.replace(tzinfo=zone)) if post.date and not post.date.tzinfo else post


def _list_holders(site: Site) -> Iterator[tuple[str, _Holder]]:
    """List the slugs of the content folder's issues, with what tells whether a post is among them."""
    for path in sorted(site.root.rglob("*")):
        if path.suffix.lower() not in EXTENSIONS or path.is_symlink() or not path.is_file() or site.is_page(path):
            continue
        source = front_matter.split("", path.read_bytes())
        dated = front_matter.date(Source(""), source.fields.get("date", ""), site.zone)
        addresses = frozenset(filter(None, (one.strip() for one in source.fields.get("formerly", "").split(","))))
        file = File.of(path, site.root, source.fields, site.lang, site.zone)
        yield file.wanted, _Holder(path.relative_to(site.root).as_posix(), source.fields.get("title", ""), dated, addresses)


def _name_post(post: ImportedPost) -> str:
    last = post.slug or post.address.rstrip("/").rpartition("/")[2].partition("?")[0].removesuffix(".html")
    last = unquote(last)
    slug = slugify(last)[:MAX_SLUG_CHARS].strip("-") or slugify(post.title)[:MAX_SLUG_CHARS].strip("-")
    return slug or "untitled"


def _place_pictures(post: ImportedPost, slug: str) -> list[str]:
    """Return a path of the content folder for each picture of a post, no two alike."""
    found: list[str] = []
    for number, name in enumerate(post.pictures, 1):
        stem, suffix = posixpath.splitext(posixpath.basename(name))
        stem = slugify(stem)[:MAX_SLUG_CHARS].strip("-") or "picture"
        path = f"images/{slug}/{stem}{suffix.lower()}"
        found.append(f"images/{slug}/{stem}-{number}{suffix.lower()}" if path in found else path)
    return found


def _list_names(names: tuple[str, ...]) -> list[str]:
    plain = (" ".join(re.sub(r"[,;\n]", " ", name).split()) for name in names)
    return list(dict.fromkeys(name for name in plain if re.search(r"\w", name)))


def _first_words(body: str) -> str:
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|[#*_>`\\]", r"\1", body)
    return " ".join(text.split()[:8])[:80]
