"""The configuration of a site, without a build: names, address, zone, folders of pages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailer.core.characters import printable
from mailer.core.errors import BadInput
from mailer.editions.source.translations import family_ids
from mailer.exchange.dates import parse_zone

PLUGIN = "mailer.editions.plugin"
EXTENSIONS = {".md", ".markdown", ".mkd", ".mdown"}


@dataclass(frozen=True)
class Site:
    """``root`` is the content folder; ``clip`` what to do with an email that Gmail would clip: warn, cut or refuse.

    ``ids`` are the fields that an issue and its translations share; ``gfm``: Markdown is GitHub's;
    ``settings`` are all of Pelican's.
    """

    root: Path
    config: Path
    name: str
    url: str
    zone: str
    lang: str
    pages: tuple[Path, ...]
    clip: str
    theme: Path
    off: tuple[str, ...]
    ids: tuple[str, ...]
    gfm: bool
    settings: Mapping[str, Any] = field(repr=False)
    is_adopted: bool = False  # a Pelican site that keeps Pelican's addresses, feeds, drafts and summaries

    @classmethod
    def of(cls, settings: Mapping[str, Any], config: Path = Path()) -> Site:
        """Build it from Pelican's settings. Raises BadInput."""
        root = Path(settings["PATH"]).resolve()
        return cls(
            root=root,
            config=config.resolve(),
            name=settings["SITENAME"],
            url=settings["SITEURL"],
            zone=read_zone(settings.get("TIMEZONE") or "UTC"),
            lang=str(settings["DEFAULT_LANG"]),
            pages=tuple(root / folder for folder in settings["PAGE_PATHS"]),
            clip=read_clip_setting(settings.get("POSTMERGE_CLIP")),
            theme=Path(settings["THEME"]),
            off=tuple(settings.get("POSTMERGE_CHECKS_OFF") or ()),
            ids=family_ids(settings),
            gfm=read_dialect(settings.get("POSTMERGE_MARKDOWN", "")),
            settings=settings,
            is_adopted=keeps_pelicans(settings),
        )

    @property
    def api_url(self) -> str:
        """Return the address of the forms and the API."""
        return str(self.settings.get("API_URL") or self.url)

    @property
    def join_url(self) -> str:
        """Return the address where paid text is sold."""
        return f"{self.api_url}/join"

    @property
    def fills_templates(self) -> bool:
        """Does a plugin of the site fill in template code in texts, as jinja2content does?"""
        names = (str(getattr(plugin, "__name__", plugin)) for plugin in self.settings.get("PLUGINS") or ())
        return any("jinja" in name or "liquid" in name for name in names)

    def is_page(self, path: Path) -> bool:
        """Is the file a page such as "About" rather than an issue?"""
        return any(path.is_relative_to(folder) for folder in self.pages)

    def is_static(self, path: Path) -> bool:
        """Is the file in a folder of pictures and the like, whose texts without any field are no issues?"""
        folders = (self.root / str(name) for name in self.settings["STATIC_PATHS"] if name)
        return any(path.is_relative_to(folder) for folder in folders)

    def shown(self, path: Path) -> str:
        """Return the file's display name: from the working folder if inside it, else from the content folder."""
        here = Path.cwd()
        return printable(
            str(path.relative_to(here))
            if path.is_relative_to(here)
            else os.path.join(self.root.name, path.relative_to(self.root))
        )

    def source_name(self, path: Path) -> str:
        """Return the file's name in editions and findings: from the content folder on."""
        return printable(f"{self.root.name}/{os.path.relpath(path, self.root)}")

    def words(self) -> str:
        """Return the word list of names, or ''."""
        path = self.config.parent / "words.txt"
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} cannot be read ({error}): save it as UTF-8, with one name on each line.") from error


def read(content: Path, config: Path, site_url: str = "") -> Site:
    """Read the site of a content folder and a Pelican configuration. Raises BadInput."""
    from pelican.settings import read_settings

    need_files(content, config)
    override = {"PATH": str(content.resolve()), **({"SITEURL": site_url} if site_url else {})}
    try:
        settings = read_settings(str(config), override=override)
    except Exception as error:
        raise BadInput(f"{config} has an error ({type(error).__name__}: {error}): correct it.") from error
    return Site.of(settings, config)


def read_zone(name: str) -> str:
    """Read TIMEZONE. Raises BadInput for an abbreviation such as EST, which has no daylight saving time."""
    try:
        parse_zone(name)
    except BadInput as error:
        raise BadInput(f"TIMEZONE in pelicanconf.py is not usable: {error}.") from error
    return name


def need_files(content: Path, config: Path) -> None:
    """Raise BadInput if the content folder or the Pelican configuration is missing."""
    if not content.is_dir():
        raise BadInput(
            f"There is no content folder {content}: run `postmerge init` to start a newsletter here, or set POSTMERGE_CONTENT."
        )
    if not config.is_file():
        raise BadInput(
            f"There is no Pelican configuration {config}: run `postmerge init`, which writes one, or set POSTMERGE_CONFIG."
        )


def read_clip_setting(value: object) -> str:
    """Read POSTMERGE_CLIP. Raises BadInput."""
    if value not in (None, "warn", "cut", "refuse"):
        raise BadInput(f"POSTMERGE_CLIP is {value!r}: set it to 'warn', 'cut' or 'refuse' in pelicanconf.py.")
    return str(value or "warn")


def list_extensions(options: Mapping[str, Any]) -> list[Any]:
    """Return the extensions that Pelican's setting MARKDOWN loads: those that it lists, and those that it configures."""
    listed = list(options.get("extensions") or ())
    return listed + sorted(name for name in options.get("extension_configs") or () if name not in listed)


def read_dialect(value: object) -> bool:
    """Read POSTMERGE_MARKDOWN: whether Markdown is GitHub's. Raises BadInput."""
    if value not in ("", None, "gfm"):
        raise BadInput(f'POSTMERGE_MARKDOWN = {value!r} is not valid: write "gfm", or remove the line.')
    return value == "gfm"


def keeps_pelicans(settings: Mapping[str, Any]) -> bool:
    """Return whether addresses and feeds are Pelican's own, as where POSTMERGE_ADDRESSES is not set. Raises BadInput.

    A configuration with our feeds of tags, from before that setting, has our addresses.
    """
    value = settings.get("POSTMERGE_ADDRESSES")
    if value not in (None, "pelican", "files"):
        raise BadInput(f"POSTMERGE_ADDRESSES is {value!r}: set it to 'pelican' or 'files' in pelicanconf.py.")
    is_ours = any(name.startswith("POSTMERGE_TAG_FEED_") for name in settings)
    return value == "pelican" or (value is None and not is_ours)


def need_plugin(pelican: Any, config: Path) -> None:
    """Raise BadInput if the configured Pelican does not load our plugin, so that no issue would be read for sending."""
    if PLUGIN not in (getattr(plugin, "__name__", plugin) for plugin in pelican.plugins):
        raise BadInput(f"{config} does not load the plugin, so nothing can be sent: `postmerge init` says which line to add.")
