"""What Pelican's settings say about a source file beside its front matter: whether it is one, its date, its slug."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from markdown import Markdown
from pelican.readers import DUPLICATES_DEFINITIONS_ALLOWED, default_metadata, parse_path_metadata, path_metadata
from pelican.utils import slugify

from mailer.core.errors import BadInput
from mailer.editions.source.fields import KNOWN
from mailer.editions.source.front_matter import Source
from mailer.editions.source.site_config import EXTENSIONS, Site, list_extensions
from mailer.exchange.dates import parse_date

_IMPLIED = ("title", "date", "slug", "lang", "status", "url", "save_as")  # never what asks to be sent
_ZONE_NAME = re.compile(r"\s+[A-Z]{2,5}$")


def list_sources(site: Site) -> list[Path]:
    """List the Markdown files that Pelican reads as articles or pages, without symbolic links."""
    settings = site.settings
    found: set[Path] = set()
    for kind in ("ARTICLE", "PAGE"):
        excluded = {site.root / str(name) for name in settings[f"{kind}_EXCLUDES"]}
        for folder in settings[f"{kind}_PATHS"]:
            found.update(_walk(site.root / folder, excluded, tuple(settings["IGNORE_FILES"])))
    return sorted(found)


def _walk(folder: Path, excluded: set[Path], ignored: tuple[str, ...]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(parent, name) not in excluded and not _matches(name, ignored)]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in EXTENSIONS and not _matches(name, ignored) and path.is_file() and not path.is_symlink():
                yield path


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def imply_fields(site: Site, path: Path) -> dict[str, str]:
    """Return the fields that the site's settings, such as FILENAME_METADATA, give a file that does not say them itself."""
    relative, settings = path.relative_to(site.root).as_posix(), site.settings
    found = default_metadata(settings) | path_metadata(str(path), relative, settings) | parse_path_metadata(relative, settings)
    values = {name: found[name] for name in _IMPLIED if found.get(name)}
    return {name: value.isoformat() if isinstance(value, (date, datetime)) else str(value) for name, value in values.items()}


def keep_first_parts(source: Source) -> None:
    """Of fields such as `Authors:` in several lines, keep what Pelican does: the first line, or the first field of the name."""
    for name, parts in source.parts.items():
        if len(parts) > 1 and not DUPLICATES_DEFINITIONS_ALLOWED.get(name, True):
            source.fields[name] = parts[0]


def read_own_values(source: Source, settings: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return the fields that Pelican has otherwise: HTML of FORMATTED_FIELDS, and lists of unknown ones in several lines."""
    lists = {name: parts for name, parts in source.parts.items() if len(parts) > 1 and name not in KNOWN}
    formatted, options = {}, settings["MARKDOWN"]
    for name in settings["FORMATTED_FIELDS"]:
        if name in source.fields:  # an empty `Summary:` is an empty one
            made = Markdown(**{**options, "extensions": list_extensions(options)})
            formatted[name] = made.convert("\n".join(source.parts.get(name, [source.fields[name]])))
    return lists | formatted


def read_without_zone(source: Source, text: str) -> str:
    """Return a date without a zone's abbreviation such as CEST, which Pelican passes over too, and warn; else the text."""
    bare = _ZONE_NAME.sub("", text.strip())
    try:
        parse_date(text)
    except BadInput:
        with contextlib.suppress(BadInput):
            parse_date(bare)
            message = (
                f"`Date: {text[:60]}` names a zone that is not read: its time is in the newsletter's zone, as Pelican says."
            )
            source.warning(source.lines.get("date", 1), message)
            return bare
    return text


def find_slug(site: Site, path: Path, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the slug that Pelican would give an article with these fields; nothing where it would give none."""
    source, settings = site.settings["SLUGIFY_SOURCE"], site.settings
    value = fields.get("title", "") if source == "title" else path.stem if source == "basename" else ""
    made = slugify(
        value,
        regex_subs=settings.get("SLUG_REGEX_SUBSTITUTIONS", []),
        preserve_case=settings.get("SLUGIFY_PRESERVE_CASE", False),
        use_unicode=settings.get("SLUGIFY_USE_UNICODE", False),
    )
    slug = fields.get("slug") or made
    return {"slug": slug} if slug else {}
