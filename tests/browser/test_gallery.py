"""Every component and page of the gallery, drawn by Chromium and compared with the pictures that were looked at.

Characters are drawn as boxes, so that the typefaces of the machine do not matter.

After a change that is meant, look at the new pictures: `POSTMERGE_NEW_PICTURES=1 pytest tests/browser/test_gallery.py`.
"""

from __future__ import annotations

import html
import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Browser

from mailer.editions.source import site_config
from mailer.workbench.gallery import Shot, write_gallery
from tests.browser import box_font
from tests.conftest import ROOT

KEPT = Path(__file__).parent / "gallery"
SIZE = (165, 225)  # a quarter of what is drawn
FAR = 48.0  # difference of colour from which a picture counts as another; see `difference`
PAGES = (
    "page-index",
    "page-archive",
    "page-404",
    "page-about",
    "page-tags",
    "page-text",
    "page-sponsor",
    "page-corrected",
    "page-figure",
)


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> list[Shot]:
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "content").mkdir()
    for name in ("pelicanconf.py", "theme", "mailer"):
        (folder / name).symlink_to(ROOT / name)
    return write_gallery(site_config.read(folder / "content", folder / "pelicanconf.py"), folder / "made")


def draw(browser: Browser, shots: list[Shot]) -> dict[str, Image.Image]:
    page = browser.new_page(viewport={"width": 660, "height": 900}, java_script_enabled=False)
    found = {}
    sources = {shot.name: shot.path.read_text(encoding="utf-8") for shot in shots}
    styles = (path.read_text(encoding="utf-8") for path in (ROOT / "theme").rglob("*.css"))
    boxes = box_font.style([*map(html.unescape, sources.values()), *styles])
    for shot in shots:
        boxed = shot.path.with_name(f"boxed-{shot.path.name}")
        boxed.write_text(sources[shot.name].replace("</head>", f"{boxes}</head>", 1), encoding="utf-8")
        page.goto(boxed.as_uri())
        found[shot.name] = Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize(SIZE, Image.Resampling.BOX)
    page.close()
    return found


def test_the_gallery_has_every_component_in_both_directions_and_modes(shots: list[Shot]) -> None:
    names = {shot.name for shot in shots}
    samples = {path.stem for path in (ROOT / "mailer/workbench/samples").glob("*.md")}
    assert len(samples) >= 24
    assert names >= {f"{kind}-{name}-{mode}" for kind in ("mail", "page") for name in samples for mode in ("light", "dark")}
    index = (shots[0].path.parent / "index.html").read_text()
    assert index.count("<iframe") == len(shots)
    assert "[1] https://example.org/" in index


def test_pictures_are_as_they_were_looked_at(shots: list[Shot], browser: Browser) -> None:
    wanted = [shot for shot in shots if shot.name.startswith(("mail-", *PAGES))]
    drawn = draw(browser, wanted)
    if os.environ.get("POSTMERGE_NEW_PICTURES"):
        shutil.rmtree(KEPT, ignore_errors=True)
        KEPT.mkdir()
        for name, picture in drawn.items():
            picture.quantize(32).save(KEPT / f"{name}.png", optimize=True)
    assert {path.stem for path in KEPT.glob("*.png")} == set(drawn)
    far = {name: difference(picture, Image.open(KEPT / f"{name}.png")) for name, picture in drawn.items()}
    assert {name: round(value, 1) for name, value in far.items() if value > FAR} == {}


def test_a_change_of_colour_would_be_seen(shots: list[Shot], browser: Browser) -> None:
    shot = next(shot for shot in shots if shot.name == "mail-sponsor-en-light")
    other = shot.path.with_name("other.html")
    other.write_text(shot.path.read_text().replace("#f1f4f9", "#b0c4de"))
    [picture] = draw(browser, [Shot("other", other)]).values()
    assert difference(picture, Image.open(KEPT / f"{shot.name}.png")) > FAR


def difference(one: Image.Image, other: Image.Image) -> float:
    """The largest difference of any colour (0 to 255) between fields of 60 by 60 pixels: text blurs, surfaces do not."""
    apart = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).resize((11, 15), Image.Resampling.BOX)
    return float(max(high for _, high in ImageStat.Stat(apart).extrema))
