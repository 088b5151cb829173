"""Pictures: share cards are drawn, SVG files are sanitized. What is no picture that can be read is decided here."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif")


class UnreadablePicture(ValueError):
    """What cannot be read as a picture, or has too many pixels; ``advice`` says what to do."""

    def __init__(self, wrong: str, advice: str) -> None:
        super().__init__(f"it {wrong}")
        self.wrong = wrong
        self.advice = advice


@contextmanager
def open_picture(data: bytes, formats: list[str] | None = None) -> Iterator[Image.Image]:
    """Open a picture, of these formats or of any. Raises UnreadablePicture, also for what its decoder raises in the block."""
    from PIL import Image  # most builds have no new picture

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=formats) as image:
                yield image
    except UnreadablePicture:
        raise
    except Image.DecompressionBombError as error:
        advice = "make it smaller. A width of 1,200 pixels is enough"
        raise UnreadablePicture("has far too many pixels", advice) from error
    except Exception as error:  # decoders raise what they like
        wrong = "cannot be read as a picture"
        raise UnreadablePicture(wrong, "save it again as PNG or JPEG") from error
