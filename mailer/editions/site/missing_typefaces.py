"""Typefaces that the theme's style sheets name and that are not there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailer.core.characters import printable
from mailer.core.edition import Finding
from mailer.editions.site.template_versions import show_path
from mailer.editions.source.site_config import Site

_NAMED = re.compile(r"url\(\s*[\"']?(?!/|[a-z]+:)([^\"')?#\s]+\.(?:woff2?|ttf|otf))\b", re.IGNORECASE)


def list_missing_typefaces(site: Site) -> Iterator[Finding]:
    """Find the files of typefaces that a style sheet of the theme names by a relative path and that are missing."""
    for sheet in sorted((site.theme / "static").rglob("*.css")):
        for number, line in enumerate(sheet.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            for name in dict.fromkeys(_NAMED.findall(line)):
                if not (sheet.parent / name).is_file():
                    said = f"The typeface {printable(name[:200])} is missing, so pages show the system's"
                    yield Finding("warning", show_path(sheet), number, f"{said}: add the file, or remove the rule.")
