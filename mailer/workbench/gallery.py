"""The gallery: every component and page, in both directions and colour modes, HTML and text side by side, as files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw

from mailer import editions
from mailer.editions.source.site_config import Site
from mailer.workbench.color_modes import fix_color_mode

_URL = "https://gallery.invalid"
_MODES = ("light", "dark")
_PAGES = {"index.html": "Front page", "archive/index.html": "Archive", "tags/index.html": "Topics", "404.html": "Not found",
          "about/index.html": "A page"}  # fmt: skip
_HERE = Path(__file__).parent
_SAMPLES = _HERE / "samples"


@dataclass(frozen=True)
class Shot:
    """One picture of the gallery: a file below its folder."""

    name: str
    path: Path


def write_gallery(site: Site, target: Path) -> list[Shot]:
    """Write the gallery into a folder, which is emptied first; its pictures. Raises BadInput for a broken theme."""
    with tempfile.TemporaryDirectory(prefix="postmerge-") as folder:
        content = Path(folder) / "content"
        _write_issues(content, site.gfm)
        made = Path(folder) / "made"
        options = editions.BuildOptions(
            content=content, site=made / "site", editions=made / "editions", cache=made / "cache", config=site.config,
            site_url=_URL, api_url=_URL, postal_address="1 Example Street",
        )  # fmt: skip
        made_editions = editions.build(options).editions
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made / "site", target / "site")
    shots, sections = [], []
    for edition in made_editions:
        (target / f"{edition.key}.txt").write_text(edition.text, encoding="utf-8")
        emails = [_write_email(target, edition.key, edition.html, mode) for mode in _MODES]
        pages = [_write_page(target, f"issues/{edition.key}/index.html", edition.key, mode) for mode in _MODES]
        shots += [*emails, *pages]
        sections.append(_render_section(edition.title, [*emails, *pages], edition.text))
    for path, title in _PAGES.items():
        if (target / "site" / path).is_file():
            pages = [_write_page(target, path, path.split("/")[0].removesuffix(".html"), mode) for mode in _MODES]
            shots += pages
            sections.append(_render_section(title, pages, ""))
    style = (_HERE / "static" / "gallery.css").read_text(encoding="utf-8")
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Gallery</title><style>{style}</style></head>'
    (target / "index.html").write_text(f"{head}<body><h1>Gallery</h1>{''.join(sections)}</body></html>\n", encoding="utf-8")
    return shots


def _write_issues(content: Path, gfm: bool) -> None:
    """Write the samples; those whose syntax GitHub's Markdown does not have are there in its own."""
    issues, pages, images = content / "issues", content / "pages", content / "images"
    for made in (issues, pages, images):
        made.mkdir(parents=True)
    (pages / "about.md").write_text("Title: About\n\nWho we are.\n", encoding="utf-8")
    picture = Image.new("RGB", (1200, 240), "#1d4ea8")
    ImageDraw.Draw(picture).rectangle((0, 120, 1200, 240), fill="#c2263a")
    picture.save(images / "stripes.png")
    for folder in (_SAMPLES, _SAMPLES / "gfm") if gfm else (_SAMPLES,):
        for sample in sorted(folder.glob("*.md")):
            shutil.copy(sample, issues)


def _write_email(target: Path, name: str, html: str, mode: str) -> Shot:
    made = fix_color_mode(html, mode).replace(f"{_URL}/", "site/")
    path = target / f"mail-{name}-{mode}.html"
    path.write_text(made, encoding="utf-8")
    return Shot(path.stem, path)


def _write_page(target: Path, page: str, name: str, mode: str) -> Shot:
    source = target / "site" / page
    up = os.path.relpath(target / "site", source.parent)
    made = source.read_text(encoding="utf-8").replace(f"{_URL}/", f"{up}/").replace(_URL, up)
    path = source.with_name(f"{source.stem}.{mode}.html")
    path.write_text(re.sub(r"<html\b", f'<html data-mode="{mode}"', made, count=1), encoding="utf-8")
    return Shot(f"page-{name}-{mode}", path)


def _render_section(title: str, shots: list[Shot], text: str) -> str:
    frames = [_render_frame(shot) for shot in shots]
    if text:
        frames.insert(2, f"<div><h3>text</h3><pre>{escape(text)}</pre></div>")
    return f'<section><h2>{escape(title)}</h2><div class="row">{"".join(frames)}</div></section>'


def _render_frame(shot: Shot) -> str:
    parts = shot.path.parts
    inside = "/".join(parts[parts.index("site") :]) if "site" in parts and shot.name.startswith("page-") else shot.path.name
    return f'<div><h3>{shot.name}</h3><iframe sandbox="" loading="lazy" title="{shot.name}" src="{inside}"></iframe></div>'
