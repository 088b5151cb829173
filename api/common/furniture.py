"""The site's header and footer for pages of ours, as the last build wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

_HEADER = re.compile(r'<header class="masthead".*?</header>', re.DOTALL)
_FOOTER = re.compile(r'<footer class="foot".*?</footer>', re.DOTALL)


@dataclass(frozen=True)
class Furniture:
    """HTML of the header and the footer."""

    header: Markup
    footer: Markup


def read_furniture(site_folder: Path) -> Furniture | None:
    """Read them from the site's page for wrong addresses; None without a built site, and for a theme that has others."""
    page = site_folder / "404.html"
    try:
        return _read(page, page.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=4)
def _read(page: Path, _changed_ns: int) -> Furniture | None:
    html = page.read_text(encoding="utf-8")
    header, footer = _HEADER.search(html), _FOOTER.search(html)
    return Furniture(Markup(header[0]), Markup(footer[0])) if header and footer else None  # noqa: S704
