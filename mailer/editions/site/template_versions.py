"""Templates of a newsletter that were copied from an older version of ours.

The first line of each of our templates names the version that last changed what a copy has to do; a copy keeps that line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mailer.core.characters import printable
from mailer.core.edition import Finding
from mailer.core.files import find_file
from mailer.editions.source.site_config import Site

_VERSION = re.compile(r"\{#- Postmerge template, version (\d+)\.(\d+)\.(\d+) -#\}")


def list_outdated_templates(site: Site) -> Iterator[Finding]:
    """Find templates that override ours and are older. A template without our first line is the newsletter's own."""
    ours = find_file("theme") / "templates"
    for folder in map(Path, [*site.settings["THEME_TEMPLATES_OVERRIDES"], site.theme / "templates"]):
        if folder.resolve() == ours.resolve():
            continue
        for original in sorted(ours.rglob("*.html")):
            copy = folder / original.relative_to(ours)
            if (found := _read_version(copy)) and found < (current := _read_version(original)):
                said = f"This template is of version {_format(found)}, and ours is of {_format(current)}"
                yield Finding("warning", show_path(copy), 1, f"{said}: UPGRADING.md says what changed.")


def _read_version(path: Path) -> tuple[int, ...]:
    """The version in the first line; () if there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = _VERSION.match(file.readline())
    except OSError:
        return ()
    return tuple(map(int, found.groups())) if found else ()


def _format(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def show_path(path: Path) -> str:
    """Return a path as findings name it: from the working folder if it is below."""
    whole, here = path.absolute(), Path.cwd()
    return printable(str(whole.relative_to(here) if whole.is_relative_to(here) else whole))
