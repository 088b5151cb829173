"""The sites of ``bench.build``: the configurations of Pelican, and the same issues as a site for Hugo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from mailer.core.errors import BadInput
from mailer.editions.source import front_matter
from mailer.exchange import dates

_ROOT = Path(__file__).parent.parent
_STOCK = """
SITENAME = "Stock"
SITEURL = "https://stock.example"
TIMEZONE = "UTC"
"""
_OURS = f"""
import sys
sys.path.insert(0, {str(_ROOT)!r})
from pelicanconf import *
"""
_HUGO = """
baseURL = "https://hugo.example/"
title = "Hugo"
[markup.goldmark.renderer]
unsafe = true
[markup.highlight]
noClasses = false
"""
_PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>{{ .Title }}</title></head><body><h1>{{ .Title }}</h1>
<time>{{ .Date.Format "2006-01-02" }}</time>{{ .Content }}</body></html>"""
_LIST = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>{{ .Title }}</title></head><body><ol>
{{ range .RegularPagesRecursive }}<li><a href="{{ .RelPermalink }}">{{ .Title }}</a></li>{{ end }}</ol></body></html>"""


def list_issues(content: Path) -> list[Path]:
    """List the Markdown files of an archive that are no pages."""
    found = (path for path in content.rglob("*") if path.suffix in (".md", ".markdown"))
    return sorted(path for path in found if "pages" not in path.relative_to(content).parts)


def write_stock(path: Path) -> None:
    """Write a configuration with Pelican's default settings, but for the site's name, address and time zone."""
    path.write_text(_STOCK)


def write_ours(path: Path, *, bare: bool) -> None:
    """Write our configuration, as it is shipped, or ``bare``: without search index and cards."""
    path.write_text(_OURS + ("POSTMERGE_SEARCH = POSTMERGE_CARDS = False\n" if bare else ""))


def write_hugo_site(content: Path, site: Path) -> None:
    """Write the issues with front matter that Hugo reads, and a theme of two templates."""
    layouts = site / "layouts/_default"
    layouts.mkdir(parents=True)
    (site / "config.toml").write_text(_HUGO)
    (layouts / "single.html").write_text(_PAGE)
    (layouts / "list.html").write_text(_LIST)
    for path in list_issues(content):
        source = front_matter.split(path.name, path.read_bytes())
        head = {"title": source.fields.get("title", path.stem), "tags": source.fields.get("tags", "").split(",")}
        try:
            head["date"] = dates.parse_date(source.fields.get("date", "")).date().isoformat()
        except BadInput:
            head["date"] = "2000-01-01"
        target = site / "content/issues" / path.relative_to(content).with_suffix(".md")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{json.dumps(head)}\n\n{source.body}", encoding="utf-8")
    for folder in (one for one in content.iterdir() if one.is_dir() and one.name == "images"):
        shutil.copytree(folder, site / "static/images")
