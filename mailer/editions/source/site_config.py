"""The configuration of a site, without a build: names, address, zone, folders of pages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailer.core.characters import printable
from mailer.core.errors import BadInput
from mailer.editions.source.translations import family_ids

_PLUGIN = "mailer.editions.plugin"
EXTENSIONS = {".md", ".markdown", ".mkd", ".mdown"}


@dataclass(frozen=True)
class Site:
    """``root`` is the content folder; ``clip`` what to do with an email that Gmail would clip: warn, cut or refuse.

    ``ids`` are the fields that an issue and its translations share.
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
    ids: tuple[str, ...] = ("slug",)

    def is_page(self, path: Path) -> bool:
        """Is the file a page such as "About" rather than an issue?"""
        return any(path.is_relative_to(folder) for folder in self.pages)

    def shown(self, path: Path) -> str:
        """Return the file's display name: from the working folder if inside it, else from the content folder."""
        here = Path.cwd()
        return printable(
            str(path.relative_to(here))
            if path.is_relative_to(here)
            else os.path.join(self.root.name, path.relative_to(self.root))
        )

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

    if not content.is_dir():
        raise BadInput(f"There is no content folder {content}: set POSTMERGE_CONTENT to the folder that holds the issues.")
    if not config.is_file():
        raise BadInput(f"There is no Pelican configuration {config}: set POSTMERGE_CONFIG to it.")
    root = content.resolve()
    try:
        settings = read_settings(str(config), override={"PATH": str(root)})
    except Exception as error:
        raise BadInput(f"{config} has an error ({type(error).__name__}: {error}): correct it.") from error
    return Site(
        root=root,
        config=config.resolve(),
        name=settings["SITENAME"],
        url=site_url or settings["SITEURL"],
        zone=settings["TIMEZONE"] or "UTC",
        lang=settings["DEFAULT_LANG"],
        pages=tuple(root / folder for folder in settings["PAGE_PATHS"]),
        clip=read_clip_setting(settings.get("POSTMERGE_CLIP")),
        theme=Path(settings["THEME"]),
        off=tuple(settings.get("POSTMERGE_CHECKS_OFF") or ()),
        ids=family_ids(settings),
    )


def read_clip_setting(value: object) -> str:
    """Read POSTMERGE_CLIP. Raises BadInput."""
    if value not in (None, "warn", "cut", "refuse"):
        raise BadInput(f"POSTMERGE_CLIP is {value!r}: set it to 'warn', 'cut' or 'refuse' in pelicanconf.py.")
    return str(value or "warn")


def need_plugin(pelican: Any, config: Path) -> None:
    """Raise BadInput if the configured Pelican does not load our plugin, so that no issue would be read for sending."""
    if _PLUGIN not in (getattr(plugin, "__name__", plugin) for plugin in pelican.plugins):
        raise BadInput(f'{config} does not load the plugin, so nothing can be sent: add `PLUGINS = ["{_PLUGIN}"]` to it.')
