"""Pictures arrive: with their size, small, in a format that email programs show, and without the place of the photograph."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from mailer.editions import Report
from tests.integration.editions.test_builds import QUICK
from tests.integration.editions.test_editions import SITE, NewsletterFolder
from tests.integration.editions.test_gfm_builds import choose

GPS, ORIENTATION = 0x8825, 0x0112


class Pictured:
    """A newsletter with one issue that shows pictures."""

    def __init__(self, folder: Path) -> None:
        self.newsletter = NewsletterFolder(folder)
        self.images = self.newsletter.folder / "content/images"
        choose(self.newsletter, QUICK)

    def build(self, *names: str) -> Report:
        body = "".join(f"![What it shows](../images/{name})\n\n" for name in names)
        self.newsletter.write("shown.md", "Title: Shown\nDate: 2026-11-01 09:00\nSend: yes", body)
        return self.newsletter.build()

    def made(self, src: str) -> Image.Image:
        return Image.open(self.newsletter.folder / "build/site" / src.removeprefix(f"{SITE}/"))


@pytest.fixture
def pictured(tmp_path: Path) -> Pictured:
    return Pictured(tmp_path)


def shown(html: str) -> list[list[str]]:
    """The address, width and height of each picture."""
    names = ("src", "width", "height")
    tags = [dict(re.findall(r'\b(\w+)="([^"]*)"', tag)) for tag in re.findall(r"<img\b[^<>]*>", html)]
    return [[tag.get(name, "") for name in names] for tag in tags]


def test_a_large_picture_is_made_smaller_and_every_picture_has_its_size(pictured: Pictured) -> None:
    Image.effect_noise((3000, 1500), 90).convert("RGB").save(pictured.images / "large.jpg")
    Image.new("RGB", (1000, 400), "red").save(pictured.images / "wide.png")
    Image.new("RGB", (90, 40), "red").save(pictured.images / "small.png")
    [edition] = pictured.build("large.jpg", "wide.png", "small.png").editions
    for html in (edition.html, edition.body, pictured.newsletter.page("issues/shown/index.html")):
        (large, *size), wide, small = (one for one in shown(html) if "/theme/" not in one[0])
        assert re.fullmatch(rf"{SITE}/pictures/[0-9a-f]{{20}}\.jpg", large)
        assert size == ["600", "300"]
        assert wide == [f"{SITE}/images/wide.png", "600", "240"]
        assert small == [f"{SITE}/images/small.png", "90", "40"]
    assert pictured.made(large).size == (1200, 600)
    original = pictured.newsletter.folder / "build/site/images/large.jpg"
    assert original.read_bytes() == (pictured.images / "large.jpg").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "color", "kind"), [("webp", (9, 9, 9), "JPEG"), ("avif", (9, 9, 9), "JPEG"), ("webp", (9, 9, 9, 5), "PNG")]
)
def test_a_format_that_email_programs_do_not_show_becomes_one_that_they_show(
    pictured: Pictured, suffix: str, color: tuple[int, ...], kind: str
) -> None:
    Image.new("RGBA" if len(color) == 4 else "RGB", (300, 200), color).save(pictured.images / f"a.{suffix}")
    [edition] = pictured.build(f"a.{suffix}").editions
    [(src, *size)] = shown(edition.html)
    assert pictured.made(src).format == kind
    assert size == ["300", "200"]


def test_no_picture_says_where_it_was_taken(pictured: Pictured) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turned by 90 degrees
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    Image.new("RGB", (400, 200), "blue").save(pictured.images / "home.jpg", exif=exif)
    assert GPS in Image.open(pictured.images / "home.jpg").getexif()
    [edition] = pictured.build("home.jpg").editions
    [(src, *size)] = shown(edition.html)
    assert size == ["200", "400"]
    assert pictured.made(src).size == (200, 400)
    site = pictured.newsletter.folder / "build/site"
    published = list(site.rglob("*.jpg"))
    assert len(published) == 2
    assert not any(GPS in Image.open(path).getexif() for path in published)
    assert Image.open(site / "images/home.jpg").getexif()[ORIENTATION] == 6
    assert GPS in Image.open(pictured.images / "home.jpg").getexif()


def test_bad_pictures_are_named_in_one_sentence_each_and_stop_nothing(pictured: Pictured) -> None:
    (pictured.images / "none.png").write_bytes(b"no picture at all")
    (pictured.images / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    Image.new("1", (12_000, 9_000)).save(pictured.images / "huge.png")
    Image.new("1", (20_000, 20_000)).save(pictured.images / "bomb.png")
    frames = [Image.new("RGB", (30, 20), color) for color in ("red", "green", "blue")]
    frames[0].save(pictured.images / "moving.gif", save_all=True, append_images=frames[1:])
    report = pictured.build("none.png", "cut.jpg", "huge.png", "bomb.png", "moving.gif")
    assert [one.key for one in report.editions] == ["shown"]
    assert [(one.level, one.line, one.message) for one in report.findings] == [
        ("warning", 5, "none.png cannot be read as a picture (UnidentifiedImageError): save it again as PNG or JPEG."),
        ("warning", 7, "cut.jpg cannot be read as a picture (OSError): save it again as PNG or JPEG."),
        ("warning", 9, "huge.png has 108 megapixels, and is not made smaller: save it with a width of 1,200 pixels."),
        ("warning", 11, "bomb.png has far too many pixels: make it smaller. A width of 1,200 pixels is enough."),
        ("note", 13, "moving.gif moves: some email programs show only its first picture."),
    ]


def test_a_pointer_of_git_lfs_is_an_error_that_stops_only_its_issue(pictured: Pictured) -> None:
    pictured.newsletter.write("other.md", "Title: Other\nDate: 2026-11-01 09:00")
    (pictured.images / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    report = pictured.build("a.png")
    assert [one.key for one in report.editions] == ["other"]
    [error] = [one for one in report.findings if one.level == "error"]
    assert str(error) == (
        "content/issues/shown.md:5: error: a.png is a pointer of Git LFS instead of a picture: run `git lfs pull`, "
        "and check out with LFS in the workflow."
    )
