"""Values of an issue's fields with which Pelican could not build; each is reported at its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pelican
from pelican.contents import Article
from pelican.readers import ensure_metadata_list
from pelican.urlwrappers import Author, Category, Tag

from mailer.editions.source import front_matter
from mailer.editions.source.fields import KNOWN
from mailer.editions.source.front_matter import Source

MAX_NAME_BYTES = 240  # file systems allow 255 for each part of a path, and suffixes are added
MAX_MISSING_LINKS = 100  # of one issue, each with a warning
PLACES = {"save_as", "url"}
_SIMPLE = Path(pelican.__file__).parent / "themes/simple/templates"
_LISTS = {"tags": Tag, "authors": Author}
_NAMES = {"category": Category, "author": Author}
_OURS = {"content", "digest", "body_html", "card", "toc", "receipt"}  # set on an article here, or in Pelican's __init__
_PELICANS = {"settings", "metadata", "translations", "source_path", "relative_source_path", "in_default_lang", "date_format",
             "locale_date", "locale_modified", "timezone", "default_status", "override_url", "override_save_as"}  # fmt: skip
_RESERVED = {*dir(Article), *_OURS, *_PELICANS} - KNOWN


def is_reserved(name: str) -> bool:
    """Would a field of this name overwrite something that Pelican or this package needs?"""
    return name in _RESERVED or name.startswith(("_", "postmerge_"))


def read(path: Path, root: Path, shown: str) -> Source:
    """Read and split a Markdown file; without any field, and with an error, if it cannot be read or named."""
    source = Source(shown)
    try:
        str(path.relative_to(root)).encode()  # file names are bytes; those that are not UTF-8 cannot be part of a URL
        return front_matter.split(shown, path.read_bytes())
    except UnicodeEncodeError:
        source.error("", "The name of this file or of its folder is not valid UTF-8: rename it.")
    except OSError as error:
        source.error("", f"The file cannot be read ({error.strerror}): check its permissions.")
    return source


def missing_files(html: str, page: Path, root: Path) -> Iterator[str]:
    """List the first targets of a page's links that do not exist; ``root`` is the content folder."""
    found = re.findall(r"""\{(?:filename|static|attach)\}([^"'>\s#?]+)""", html)
    targets = dict.fromkeys(unquote(unescape(target)) for target in found)
    yield from islice((target for target in targets if _is_missing(target, page, root)), MAX_MISSING_LINKS)


def _is_missing(target: str, page: Path, root: Path) -> bool:
    base = root if target.startswith("/") else page.parent
    return is_long(target.rpartition("/")[2]) or not (base / target.lstrip("/")).exists()


def is_long(name: str) -> bool:
    """Is a name too long for a part of a path?"""
    return len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES


def check(source: Source, fields: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Report an error for each field with which the site could not be built."""
    for name in (*_LISTS, *_NAMES):
        for value in _values(fields, name):
            _check_name(source, name, value, {**_LISTS, **_NAMES}[name](value, settings).slug)
    modified = fields.get("modified", "")
    if modified:
        front_matter.date(source, modified, "UTC", "modified")
    if (template := fields.get("template", "")) and not _has_template(settings, template):
        source.error(
            "template", f"`Template: {template[:60]}` is not in the theme: use the name of one of its templates, without .html."
        )


def warn_of_places(source: Source) -> None:
    """Warn about fields that would move a page in Pelican, and that issues do not have."""
    for place in PLACES & source.fields.keys():
        source.warning(source.lines[place], f"`{place.title()}:` is ignored for issues: set the address with `Slug:`.")


def check_slug(source: Source, slug: str) -> None:
    """Report an error if an address would be too long for a file name."""
    if is_long(slug):
        source.error("slug", f"The address {slug[:40] + '…'!r} is longer than {MAX_NAME_BYTES} bytes: give it a short `Slug:`.")


def _has_template(settings: Mapping[str, Any], name: str) -> bool:
    """Does the theme (or Pelican's own, the fallback) have a template of this name?"""
    folders = [*settings["THEME_TEMPLATES_OVERRIDES"], f"{settings['THEME']}/templates", _SIMPLE]
    endings = settings["TEMPLATE_EXTENSIONS"]
    plain = re.fullmatch(r"[\w-]+(/[\w-]+)*", name)
    return bool(plain) and any(Path(folder, f"{name}{ending}").is_file() for folder in folders for ending in endings)


def _values(fields: Mapping[str, str], name: str) -> Iterator[str]:
    text = fields.get(name, "")
    yield from filter(None, ensure_metadata_list(text) if name in _LISTS else [text.strip()])


def _check_name(source: Source, field: str, value: str, slug: str) -> None:
    if not re.search(r"\w", slug):
        source.error(field, f"{value[:40]!r} has no letter or digit for an address: correct `{field.title()}:`.")
    elif is_long(slug):
        source.error(field, f"{value[:40] + '…'!r} is longer than {MAX_NAME_BYTES} bytes: shorten it in `{field.title()}:`.")
