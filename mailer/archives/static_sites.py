"""Trees of Jekyll and Hugo: front matter, dates in file names, page bundles, addresses by the site's configuration."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

import yaml  # type: ignore[import-untyped]

from mailer.archives import markdown_posts
from mailer.archives.archive_files import ArchiveContents
from mailer.archives.html_to_markdown import convert_html
from mailer.archives.liquid_tags import MAX_INCLUDE_CHARS, LiquidSite, expand_liquid
from mailer.archives.markdown_posts import MarkdownFile, read_date_field, read_flag, read_list_field, read_text_field
from mailer.archives.posts import ImportedPost, PostArchive
from mailer.archives.shortcodes import expand_hugo
from mailer.editions.source.front_matter import slugify

_TEXTS = (".md", ".markdown", ".mkd", ".mdown", ".html", ".htm")
_DATED = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})-(.+)")
_JEKYLL = {
    "date": "/:categories/:year/:month/:day/:title.html", "pretty": "/:categories/:year/:month/:day/:title/",
    "ordinal": "/:categories/:year/:y_day/:title.html", "none": "/:categories/:title.html",
    "weekdate": "/:categories/:year/W:week/:short_day/:title.html",
}  # fmt: skip
_HUGO_CONFIGS = ("hugo.toml", "hugo.yaml", "hugo.yml", "config.toml", "config.yaml", "config.yml")


@dataclass(frozen=True)
class _PostFile:
    """One file of a post: its name in the archive, its front matter and text, its date and the name in its address."""

    name: str
    file: MarkdownFile
    date: datetime | None
    slug: str
    is_draft: bool


def recognize_jekyll(files: ArchiveContents) -> bool:
    """Return whether the archive is a tree of Jekyll."""
    return any("_posts" in name.split("/")[:-1] for name in files.names)


def recognize_hugo(files: ArchiveContents) -> bool:
    """Return whether the archive is a tree of Hugo."""
    configs = {posixpath.basename(name) for name in files.names}
    folders = {part for name in files.names for part in name.split("/")[:-1]}
    return "content" in folders and bool(configs & {*_HUGO_CONFIGS} or "archetypes" in folders)


def read_jekyll(files: ArchiveContents) -> PostArchive:
    """Read all posts and drafts of a tree of Jekyll."""
    archive, config = PostArchive("Jekyll"), _read_config(files, ("_config.yml", "_config.yaml", "_config.toml"))
    posts = [post for name in files.names if (post := _read_jekyll_file(archive, files, name, config))]
    permalink = str(config.get("permalink") or "date")
    addresses = {post.name: _jekyll_address(post, permalink) for post in posts}
    site = _read_liquid_site(files, config, addresses)
    for post in posts:
        body, lost = expand_liquid(post.file.body, site, _list_texts(post.file.fields))
        former = read_list_field(post.file.fields, "redirect_from")
        separator = " " if isinstance(post.file.fields.get("tags"), str) and "," not in post.file.fields["tags"] else ","
        tags = read_list_field(post.file.fields, "tags", "tag", separator=separator)
        _add(archive, files, post, body, lost, addresses[post.name], [*former], [*_categories(post), *tags])
    return archive


def _read_liquid_site(files: ArchiveContents, config: Mapping[str, Any], addresses: Mapping[str, str]) -> LiquidSite:
    includes = {name.partition("_includes/")[2]: name for name in files.names if f"/{name}".count("/_includes/") == 1}

    @cache
    def read_include(path: str) -> str | None:
        text = files.read_text(includes[path]) if path in includes else None
        return text if text is not None and len(text) <= MAX_INCLUDE_CHARS else None

    by_stem = {posixpath.splitext(posixpath.basename(name))[0]: address for name, address in addresses.items()}
    return LiquidSite(by_stem, {f"site.{name}": value for name, value in _list_texts(config).items()}, read_include)


def _list_texts(fields: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in fields.items() if isinstance(value, (str, int, float))}


def read_hugo(files: ArchiveContents) -> PostArchive:
    """Read all dated texts of a tree of Hugo, and its drafts."""
    archive, config = PostArchive("Hugo"), _read_config(files, _HUGO_CONFIGS)
    permalinks = config.get("permalinks")
    permalinks = permalinks.get("page", permalinks) if isinstance(permalinks, dict) else {}
    ignored = _read_ignored(archive, config)
    pages = 0
    for name in files.names:
        post = _read_hugo_file(archive, files, name) if not any(one.search(name) for one in ignored) else None
        if post is None:
            continue
        if post.date is None and not post.is_draft:
            pages += 1
            continue
        body, lost = expand_hugo(post.file.body)
        section = name.partition("content/")[2].partition("/")[0] if name.count("/") > 1 else ""
        address = _hugo_address(post, section, str(permalinks.get(section) or ""))
        tags = read_list_field(post.file.fields, "categories", "tags")
        _add(archive, files, post, body, lost, address, read_list_field(post.file.fields, "aliases"), tags)
    if pages:
        archive.remark("content", f"{pages} {'text' if pages == 1 else 'texts'} without a date left out, as pages are.")
    return archive


def _read_ignored(archive: PostArchive, config: Mapping[str, Any]) -> list[re.Pattern[str]]:
    """Return ``ignoreFiles`` of the configuration, without patterns that could take long."""
    found = []
    for pattern in read_list_field({name.lower(): value for name, value in config.items()}, "ignorefiles"):
        try:
            if len(pattern) > 200 or len(re.findall(r"[*+?{]", pattern)) > 2:
                raise ValueError
            found.append(re.compile(pattern))
        except (ValueError, re.error):
            archive.remark("ignoreFiles", f"The pattern {pattern[:60]!r} was not understood: no file was left out by it.")
    return found


def _add(
    archive: PostArchive, files: ArchiveContents, post: _PostFile, body: str, lost: list[str], address: str,
    formerly: list[str], tags: list[str],
) -> None:  # fmt: skip
    fields, folder = post.file.fields, posixpath.dirname(post.name)
    if post.name.endswith((".html", ".htm")):
        text = convert_html(body, files.find_picture)
    else:
        text = markdown_posts.convert_markdown(body, folder, files)
    for sentence in (*([f"{post.file.wrong}."] if post.file.wrong else []), *lost, *text.lost):
        archive.remark(post.name, sentence)
    archive.posts.append(
        ImportedPost(
            where=post.name,
            title=read_text_field(fields, "title") or post.slug.replace("-", " "),
            body=text.body,
            date=post.date,
            slug=post.slug,
            address=address if not post.is_draft else "",
            formerly=tuple(formerly),
            tags=tuple(tags),
            authors=tuple(read_list_field(fields, "author", "authors")),
            summary=read_text_field(fields, "excerpt", "description", "summary", "subtitle"),
            lang=read_text_field(fields, "lang"),
            draft=post.is_draft,
            pictures=text.pictures,
        )
    )


def _read_jekyll_file(archive: PostArchive, files: ArchiveContents, name: str, config: Mapping[str, Any]) -> _PostFile | None:
    folders, (stem, suffix) = name.split("/")[:-1], posixpath.splitext(posixpath.basename(name))
    if suffix.lower() not in _TEXTS or not {"_posts", "_drafts"} & {*folders}:
        return None
    read = _read_markdown(files, name)
    if read is None:
        return None
    read = replace(read, fields={**_list_defaults(config, name), **read.fields})
    match = _DATED.fullmatch(stem)
    slug = read_text_field(read.fields, "slug") or (match[4] if match else stem)
    is_draft = "_drafts" in folders or read_flag(read.fields, "published") is False or read_flag(read.fields, "draft") is True
    if not match and "_drafts" not in folders:
        archive.remark(name, "Its name has no date, so Jekyll did not publish it; it became a draft.")
        is_draft = True
    return _PostFile(name, read, read_date_field(read.fields, "date") or _date_of(match), slug, is_draft)


def _list_defaults(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the front matter that the site's configuration sets for a post (https://jekyllrb.com/docs/configuration/front-matter-defaults/)."""
    found: dict[str, Any] = {}
    defaults = config.get("defaults")
    for one in defaults if isinstance(defaults, list) else ():
        scope, values = (one.get("scope"), one.get("values")) if isinstance(one, dict) else (None, None)
        if isinstance(scope, dict) and isinstance(values, dict) and scope.get("type") in (None, "", "posts"):
            path = str(scope.get("path") or "").strip("/")
            if not path or name == path or f"/{name}".startswith(f"/{path}/"):
                found |= {str(key).lower(): value for key, value in values.items()}
    return found


def _read_hugo_file(archive: PostArchive, files: ArchiveContents, name: str) -> _PostFile | None:
    stem, suffix = posixpath.splitext(posixpath.basename(name))
    if suffix.lower() not in _TEXTS or "content/" not in f"/{name}" or stem.startswith("_index"):
        return None
    read = _read_markdown(files, name)
    if read is None:
        return None
    lang = re.fullmatch(r"(.+)\.([a-z]{2}(?:-[a-z]{2,4})?)", stem, re.IGNORECASE)
    stem, fields = (lang[1], {"lang": lang[2], **read.fields}) if lang else (stem, dict(read.fields))
    bare = posixpath.basename(posixpath.dirname(name)) if stem == "index" else stem
    match = _DATED.fullmatch(bare)
    written = read_date_field(fields, "date", "publishdate", "published") or _date_of(match)
    slug = read_text_field(fields, "slug") or bare
    return _PostFile(name, MarkdownFile(fields, read.body, read.wrong), written, slug, read_flag(fields, "draft") is True)


def _read_markdown(files: ArchiveContents, name: str) -> MarkdownFile | None:
    """Return a file with front matter; without any, the whole file is its text."""
    text = files.read_text(name)
    return None if text is None else markdown_posts.split_front_matter(text) or MarkdownFile({}, text)


def _date_of(match: re.Match[str] | None) -> datetime | None:
    try:
        return datetime(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def _categories(post: _PostFile) -> list[str]:
    """Return a post's categories, of which Jekyll also takes the folders above ``_posts``."""
    value = post.file.fields.get("categories")
    separator = " " if isinstance(value, str) and "," not in value else ","
    folders = post.name.split("/")
    at = folders.index("_posts") if "_posts" in folders else 0
    return list(
        dict.fromkeys([*folders[:at], *read_list_field(post.file.fields, "categories", "category", separator=separator)])
    )


def _jekyll_address(post: _PostFile, permalink: str) -> str:
    """Return the address by the post's or the site's permalink (https://jekyllrb.com/docs/permalinks/)."""
    own = read_text_field(post.file.fields, "permalink")
    template = own or _JEKYLL.get(permalink, permalink)
    parts = {"categories": "/".join(slugify(one) for one in _categories(post)), "title": post.slug, "slug": slugify(post.slug)}
    return _fill_in(template, {**parts, "output_ext": ".html"}, post.date)


def _hugo_address(post: _PostFile, section: str, permalink: str) -> str:
    """Return the address by the text's ``url``, or the section's permalink (https://gohugo.io/content-management/urls/)."""
    if own := read_text_field(post.file.fields, "url"):
        return f"/{own.lstrip('/')}" if "://" not in own else own
    path = posixpath.dirname(post.name.partition("content/")[2])
    path = posixpath.dirname(path) if posixpath.basename(post.name).startswith("index.") else path
    slug = post.slug.lower().replace(" ", "-")
    parts = {"section": section, "sections": path, "slug": slug, "title": slugify(read_text_field(post.file.fields, "title"))}
    names = {"filename": slug, "contentbasename": slug, "slugorfilename": slug, "slugorcontentbasename": slug}
    return _fill_in(permalink or f"/{path.lower()}/:slug/", {**parts, **names}, post.date)


def _fill_in(template: str, parts: Mapping[str, str], written: datetime | None) -> str:
    if written:
        dated = {"year": "%Y", "month": "%m", "day": "%d", "short_year": "%y", "y_day": "%j", "hour": "%H", "minute": "%M"}
        parts = {**parts, **{name: written.strftime(form) for name, form in dated.items()}}
        parts = {**parts, "i_month": str(written.month), "i_day": str(written.day), "monthname": f"{written:%B}"}
    filled = re.sub(r":(\w+)", lambda match: parts.get(match[1], match[0]), template)
    return re.sub(r"(?<!:)/{2,}", "/", f"/{filled.lstrip('/')}" if "://" not in filled else filled)


def _read_config(files: ArchiveContents, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the site's configuration; empty if there is none that can be read."""
    for name in sorted(files.names, key=lambda one: one.count("/")):
        if posixpath.basename(name) not in names or (text := files.read_text(name)) is None:
            continue
        try:
            read = tomllib.loads(text) if name.endswith(".toml") else yaml.safe_load(text)
        except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}
    return {}
