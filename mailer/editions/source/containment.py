"""What keeps a build inside its folders: no file from elsewhere gets into pages, feeds, emails, or the site.

Whoever writes an issue may be somebody else than who runs the build, and the build's machine has an environment and files that
nobody is to read. Plugins, themes, and ``pelicanconf.py`` are code and can do whatever the build can.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pelican.readers import PelicanHTMLTranslator, PelicanHTMLWriter, RstReader

from mailer.core.errors import BadInput
from mailer.editions.source.site_config import list_extensions

# Without `_disable_config`, docutils.conf in the working folder would take precedence over the other settings.
DOCUTILS = {"file_insertion_enabled": False, "_disable_config": True}
_INSERTING = {"pymdownx.snippets", "pymdownx.b64", "markdown_include", "mdx_include", "mdx_markdown_include"}


def choose_docutils(chosen: Mapping[str, Any], is_adopted: bool) -> dict[str, Any]:
    """Return docutils' settings, by which no text inserts a file. HTML in the text, as in Markdown, is for adopted sites."""
    return {**chosen, **DOCUTILS, "raw_enabled": is_adopted and chosen.get("raw_enabled", True)}


class _ReadsNoPicture:
    """A translator's mixin, because `file_insertion_enabled` leaves the option `:loading: embed` of pictures alone."""

    def uri2path(self, *_: object) -> Path:
        """Refuse to read a picture."""
        raise ValueError("Reading external files disabled.")


class _Translator(_ReadsNoPicture, PelicanHTMLTranslator):  # type: ignore[misc]
    pass


class RstFieldTranslator(_ReadsNoPicture, RstReader.field_body_translator_class):  # type: ignore[misc]
    """The same for a field such as `:summary:`."""


class RstWriter(PelicanHTMLWriter):  # type: ignore[misc]
    """Pelican's writer, which puts no file into a page."""

    def __init__(self) -> None:
        super().__init__()
        self.translator_class = _Translator


def check_markdown(options: Mapping[str, Any]) -> None:
    """Raise BadInput if the setting MARKDOWN loads an extension that puts other files into a text."""
    for one in list_extensions(options):
        name = one if isinstance(one, str) else type(one).__module__
        if any(name == bad or name.startswith((f"{bad}.", f"{bad}:")) for bad in _INSERTING):
            raise BadInput(
                f"MARKDOWN loads {name}, which inserts files from outside of the content folder into issues: remove it from"
                " pelicanconf.py."
            )


def check_format(extension: str, reads: type[Any] | None) -> None:
    """Raise BadInput if another plugin reads files of a format itself: their sources would be emailed as they are."""
    module = reads.__module__ if reads else ""
    if is_foreign(reads):
        raise BadInput(
            f"The plugin {module} reads .{extension} files itself, and Postmerge cannot make emails from what it does to them:"
            " remove it from PLUGINS."
        )


def is_foreign(reads: type[Any] | None) -> bool:
    """Does another plugin read a format?"""
    return reads is not None and not reads.__module__.startswith(("pelican.readers", "mailer."))


def check_theme(settings: Mapping[str, Any]) -> None:
    """Raise BadInput for a static file of the theme that is, or leads, outside of the theme."""
    theme = Path(settings["THEME"]).resolve()
    for given in settings["THEME_STATIC_PATHS"]:
        for path in _files(theme / given):
            if not path.resolve().is_relative_to(theme):
                raise BadInput(
                    f"The theme's file {os.path.relpath(path, theme)} leads out of the theme: put the file itself there."
                )


def list_outer_folders(content: Path) -> list[Path]:
    """List links to folders outside of the content folder, and to folders around the link: Pelican would walk them."""
    return [
        Path(parent, name)
        for parent, folders, _ in os.walk(content)
        for name in folders
        if os.path.islink(Path(parent, name)) and _leads_out(Path(parent, name), content)
    ]


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a file, with all symbolic links followed, is below a folder that is resolved already."""
    return path.resolve().is_relative_to(folder)


def split_by_place(files: Iterable[Any], content: Path, output: Path) -> tuple[list[Any], list[Any]]:
    """Sort Pelican's contents into those that come from the content folder and go into the output, and all others."""
    kept: list[Any] = []
    refused: list[Any] = []
    for one in files:
        target = Path(os.path.abspath(output / one.save_as))
        fine = is_inside(content / one.source_path, content) and target.is_relative_to(output)
        (kept if fine else refused).append(one)
    return kept, refused


def _leads_out(link: Path, content: Path) -> bool:
    target = link.resolve()
    return not target.is_relative_to(content) or link.is_relative_to(target)


def _files(folder: Path) -> Iterator[Path]:
    """A folder and all in it, without following links to folders."""
    yield folder
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *names))
