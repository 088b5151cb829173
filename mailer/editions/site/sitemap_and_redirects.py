"""Files around the pages of a site: sitemap.xml, robots.txt, and a redirect at each former address of an issue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from mailer.core.edition import Edition
from mailer.editions.source.page_extras import Extras

_MOVED = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="canonical" href="{url}">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="0; url={url}">
</head>
<body>
<main>
<h1>{title}</h1>
<p>This issue has moved to <a href="{url}">{url}</a>.</p>
</main>
</body>
</html>
"""


def sitemap(
    addresses: Iterable[tuple[str, datetime | None]], output: Path, languages: Iterable[Mapping[str, str]] = ()
) -> None:
    """Write sitemap.xml (https://www.sitemaps.org/protocol.html), unless the site has its own.

    ``languages`` has the addresses of each translated page by language (https://developers.google.com/search/docs/specialty/
    international/localized-versions#sitemap).
    """
    links = {
        url: "".join(
            f'<xhtml:link rel="alternate" hreflang="{escape(lang)}" href="{_located(other)}"/>'
            for lang, other in family.items()
        )
        for family in languages
        for url in family.values()
    }
    more = ' xmlns:xhtml="http://www.w3.org/1999/xhtml"' if links else ""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>', f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"{more}>'
    ]  # fmt: skip
    for url, changed in addresses:
        when = f"<lastmod>{changed.isoformat(timespec='seconds')}</lastmod>" if changed else ""
        lines.append(f"<url><loc>{_located(url)}</loc>{when}{links.get(url, '')}</url>")
    _new(output / "sitemap.xml", "\n".join([*lines, "</urlset>", ""]))


def _located(url: str) -> str:
    return escape(quote(url, safe=":/?&=%~+,;@()!*"))


def robots(site_url: str, output: Path) -> None:
    """Write robots.txt, unless the site has its own."""
    _new(output / "robots.txt", f"User-agent: *\nAllow: /\n\nSitemap: {site_url}/sitemap.xml\n")


def redirects(
    editions: Sequence[Edition], extras: Mapping[str, Extras], save_as: str, output: Path
) -> list[tuple[Edition, str]]:
    """Write a redirect at each former address; return the names that belong to other pages now."""
    taken = []
    for edition in editions:
        facts = {"lang": escape(edition.lang), "title": escape(edition.title), "url": escape(edition.url)}
        for name in extras[edition.key].names:
            path = output / save_as.format(slug=name, lang=edition.lang, date=edition.dated)
            if not path.resolve().is_relative_to(output.resolve()) or not _new(path, _MOVED.format(**facts)):
                taken.append((edition, name))
    return taken


def _new(path: Path, text: str) -> bool:
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
