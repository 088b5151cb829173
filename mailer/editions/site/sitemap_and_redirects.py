"""Files around the pages of a site: sitemap.xml, robots.txt, and a redirect at each former address of an issue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from mailer.core.edition import Edition
from mailer.editions.site.issues import BuiltIssues
from mailer.editions.source.reading import Sources

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


def write_around(sources: Sources, issues: BuiltIssues, pages: Iterable[str]) -> None:
    """Write redirects, sitemap.xml and robots.txt; warn of former addresses that belong to other pages now.

    ``pages`` are the addresses of pages that are no issues.
    """
    settings, url = sources.site.settings, sources.site.url
    output = Path(settings["OUTPUT_PATH"])
    for edition, name in _redirects(sources, issues, output):
        source = next(file.source for file in sources.files.values() if file.source.path == edition.path)
        message = f"`Formerly: {name}` is the address of another page now: remove that name."
        source.warning(source.lines.get("formerly", 1), message)
    tags = sorted({f"{url}/{tag.url}" for issue in issues.by_key.values() for tag in issue.tags})
    newest = issues.editions[-1].dated if issues.editions else None
    addresses: list[tuple[str, datetime | None]] = [(f"{url}/", newest)]
    addresses += [(edition.url, edition.dated) for edition in reversed(issues.editions)]
    addresses += [(address, None) for address in [*sorted(pages), *tags]]
    addresses += [(edition.url, edition.dated) for edition in issues.translated]
    languages = [_languages(edition) for edition in issues.editions if any(one.url for one in edition.variants)]
    _new(output / "sitemap.xml", _sitemap(addresses, languages))
    _new(output / "robots.txt", f"User-agent: *\nAllow: /\n\nSitemap: {url}/sitemap.xml\n")


def _languages(edition: Edition) -> dict[str, str]:
    """Map each language of an issue to its address; ``x-default`` is the original's."""
    others = {one.lang: one.url for one in edition.variants if one.url and not one.premium}
    return {edition.lang: edition.url, **others, "x-default": edition.url}


def _sitemap(addresses: Iterable[tuple[str, datetime | None]], languages: Iterable[Mapping[str, str]]) -> str:
    """Return a sitemap (https://www.sitemaps.org/protocol.html).

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
    return "\n".join([*lines, "</urlset>", ""])


def _located(url: str) -> str:
    return escape(quote(url, safe=":/?&=%~+,;@()!*"))


def _redirects(sources: Sources, issues: BuiltIssues, output: Path) -> Iterator[tuple[Edition, str]]:
    """Write a redirect at each former address; yield the names that belong to other pages now."""
    save_as = str(sources.site.settings["ARTICLE_SAVE_AS"])
    slugs = {file.source.path: (file.fields or {}).get("slug", "") for file in sources.files.values()}
    for edition in issues.editions:
        facts = {"lang": escape(edition.lang), "title": escape(edition.title), "url": escape(edition.url)}
        page = _MOVED.format(**facts)
        extras = issues.by_key[edition.key].extras
        places = {place: name for name in extras.names if (place := _fill_in(save_as, name, edition))}
        own = _fill_in(save_as, slugs.get(edition.path, ""), edition)
        for place, name in {**places, **{place: place for place in extras.places if place not in places}}.items():
            path = output / place
            if place != own and (not path.resolve().is_relative_to(output.resolve()) or not _new(path, page)):
                yield edition, name


def _fill_in(save_as: str, slug: str, edition: Edition) -> str:
    """Return the file of an issue's page, '' where the address has parts that only Pelican knows, such as a category."""
    try:
        return save_as.format(slug=slug, lang=edition.lang, date=edition.dated)
    except (KeyError, AttributeError):
        return ""


def _new(path: Path, text: str) -> bool:
    """Write a file, unless the site has its own."""
    if path.exists() or any(parent.is_file() for parent in path.parents):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
