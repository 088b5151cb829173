"""Draw the share card of an issue: its title, its date and the newsletter's name between two airmail stripes.

With the typeface that comes with Pillow, so that a card is the same on every machine.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from mailer.editions.images.share_cards import Card

SIZE = (1200, 630)  # the proportion that Facebook, LinkedIn, Mastodon and Slack show uncropped
# Indexes in a palette that is a ramp from paper to ink, for the antialiasing of the text; two more for the stripes.
_PAPER, _SOFT, _INK, _RED, _BLUE = 0, 140, 200, 254, 255
_LEFT, _EDGE = 90, 18
_PAPER_RGB = (0xFD, 0xFD, 0xFE)


def draw(card: Card) -> bytes:
    """Draw the picture as PNG. A title in a script that the typeface lacks is left out instead of drawn as boxes."""
    if card.cover:
        return _cut(card.cover)
    image = Image.new("L", SIZE, _PAPER)
    pen = ImageDraw.Draw(image)
    for number, left in enumerate(range(-_EDGE, SIZE[0], 40)):
        for top in (0, SIZE[1] - _EDGE):
            corners = [(left + _EDGE, top), (left + _EDGE + 20, top), (left + 20, top + _EDGE), (left, top + _EDGE)]
            pen.polygon(corners, fill=(_RED, _BLUE)[number % 2])
    pen.text((_LEFT, 80), _shown(card.site, 34), _SOFT, _font(34))
    size, lines = _fitted(_shown(card.title, 72))
    for number, line in enumerate(lines):
        pen.text((_LEFT, 165 + number * int(size * 1.22)), line, _INK, _font(size))
    pen.text((_LEFT, 520), card.date, _SOFT, _font(30))
    image.putpalette(_palette())
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=2)
    return data.getvalue()


def _cut(cover: Path) -> bytes:
    """Cut a cover to the size of a card, on paper where it is transparent, as JPEG."""
    data = io.BytesIO()
    with Image.open(cover) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
        paper = Image.new("RGBA", upright.size, _PAPER_RGB)
        paper.alpha_composite(upright)
        ImageOps.fit(paper.convert("RGB"), SIZE).save(data, "JPEG", quality=85, progressive=True)
    return data.getvalue()


@cache
def _palette() -> bytes:
    paper, ink = _PAPER_RGB, (0x1A, 0x1E, 0x26)
    ramp = [round(p + (i - p) * min(at, _INK) / _INK) for at in range(_RED) for p, i in zip(paper, ink, strict=True)]
    return bytes([*ramp, 0xC2, 0x26, 0x3A, 0x1D, 0x4E, 0xA8])


def _fitted(title: str) -> tuple[int, list[str]]:
    """Find the largest size at which the title fits on four lines, and the lines."""
    for size in (76, 64, 54, 46):
        lines = _wrapped(title, size)
        if len(lines) * size * 1.22 <= 340:
            return size, lines
    return 46, [*_wrapped(title, 46)[:5], "…"]


def _wrapped(title: str, size: int) -> list[str]:
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > SIZE[0] - 2 * _LEFT:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _shown(text: str, size: int) -> str:
    return text if all(char.isspace() or _has(char, size) for char in text) else ""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@cache
def _has(char: str, size: int) -> bool:
    """Does the typeface have this character? A missing one is drawn as the same box as any other."""
    font = _font(size)
    return bytes(font.getmask(char)) != bytes(font.getmask("\U0010fffd"))
