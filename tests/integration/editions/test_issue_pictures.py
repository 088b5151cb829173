"""Pictures arrive: with their size, small, in a format that email programs show, and without the place of the photograph."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

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
        ("warning", 5, "none.png cannot be read as a picture: save it again as PNG or JPEG."),
        ("warning", 7, "cut.jpg cannot be read as a picture: save it again as PNG or JPEG."),
        ("warning", 9, "huge.png has 108 megapixels, and is not made smaller: save it with a width of 1,200 pixels."),
        ("warning", 11, "bomb.png has far too many pixels: make it smaller. A width of 1,200 pixels is enough."),
        ("note", 13, "moving.gif moves: some email programs show only its first picture."),
    ]


DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size} viewBox="0 0 40 20">
<image xlink:href="{other}" width="40" height="20"/><circle cx="20" cy="10" r="6" fill="{color}"/></svg>"""


@pytest.mark.parametrize(
    ("size", "shown_at", "made_at"),
    [
        ('width="400" height="200"', ["400", "200"], (800, 400)),
        ('width="30cm"', ["600", "300"], (1200, 600)),
        ("", ["40", "20"], (80, 40)),
    ],
)
def test_an_svg_becomes_a_png_of_twice_its_size(
    pictured: Pictured, size: str, shown_at: list[str], made_at: tuple[int, int]
) -> None:
    (pictured.images / "a.svg").write_text(DRAWING.format(size=size, other="#", color="#36c"))
    report = pictured.build("a.svg")
    [(src, *at)] = shown(report.editions[0].html)
    made = pictured.made(src)
    assert (at, made.format, made.size, report.findings) == (shown_at, "PNG", made_at, ())
    middle, corner = made.getpixel((made.width // 2, made.height // 2)), made.getpixel((0, 0))
    assert (middle, corner) == ((0x33, 0x66, 0xCC, 255), (0, 0, 0, 0))
    assert (pictured.newsletter.folder / "build/site/images/a.svg").is_file()


def test_an_svg_is_drawn_without_any_other_file(pictured: Pictured) -> None:
    Image.new("RGB", (40, 20), "red").save(pictured.images / "secret.png")
    other = str(pictured.images / "secret.png")
    (pictured.images / "a.svg").write_text(DRAWING.format(size="", other=other, color="lime"))
    [(src, *_)] = shown(pictured.build("a.svg").editions[0].html)
    assert pictured.made(src).getpixel((1, 1)) == (0, 0, 0, 0)


USES = ["".join(9 * [f"<use href='#a{number}'/>"]) for number in range(8)]
BOMB = (  # each group shows the one before it nine times
    "<svg xmlns='http://www.w3.org/2000/svg' width='9'><path id='a0' d='M0 0h9v9'/>"
    + "".join(f"<g id='a{number}'>{uses}</g>" for number, uses in enumerate(USES, 1))
    + "</svg>"
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 100000'/>", "it is more than 20 times as long as wide"),
        ("<svg", "it is not well-formed XML"),
        (BOMB, "it cannot be drawn"),
    ],
    ids=["long", "cut", "bomb"],
)  # fmt: skip
def test_an_svg_that_cannot_be_drawn_is_named_and_stops_nothing(pictured: Pictured, data: str, said: str) -> None:
    (pictured.images / "a.svg").write_text(data)
    report = pictured.build("a.svg")
    assert [one.key for one in report.editions] == ["shown"]
    assert any(f"a.svg is not shown in emails, because {said}" in one.message for one in report.findings)


@pytest.mark.parametrize(("name", "ink", "ground", "has_plate"), [
    ("a.png", "black", (0, 0, 0, 0), True), ("a.png", "black", "white", False), ("a.png", "#9cf", (0, 0, 0, 0), False),
    ("a.webp", "black", (0, 0, 0, 0), True),
])  # fmt: skip
def test_only_dark_lines_on_nothing_get_a_light_plate_in_dark_mode(
    pictured: Pictured, name: str, ink: str, ground: object, has_plate: bool
) -> None:
    picture = Image.new("RGBA", (200, 100), ground)  # type: ignore[arg-type]
    ImageDraw.Draw(picture).line((0, 0, 199, 99), fill=ink, width=9)
    picture.save(pictured.images / name, lossless=True)
    [edition] = pictured.build(name).editions
    assert ('class="line-art"' in edition.body) is has_plate
    assert "img.line-art { background: #dde2ea" in edition.html


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
