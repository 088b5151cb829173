"""Pictures of issues: measured, made smaller, and made PNG or JPEG where email programs do not show their format.

The original keeps its address. What is made from it is named by its digest, below `pictures/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, unquote

from mailer.core.edition import Finding
from mailer.editions.images import UnreadablePicture, open_picture, svg_drawing, svg_sanitizer
from mailer.editions.mail.markdown_to_html import Cache, digest, own_code
from mailer.editions.source.build_files import same
from mailer.editions.source.front_matter import Source

CONTENT_WIDTH = 600  # pixels of the text of an email; pictures have twice as many at most
_LIST_WIDTH = 160  # pixels of a cover in a list of issues
_MAX_PIXELS = 50_000_000  # of a picture that is decoded
_MAX_IMAGE_BYTES = 100_000_000
_FOLDER = "pictures"
_LINE_ART = "line-art"  # the class that the theme and the emails know
_MAX_DARK = 90  # the mean brightness of dark lines, of 255
_MIN_CLEAR_SHARE = 0.2  # of the pixels of line art that nothing is drawn on
_SUFFIXES = (".svg", ".svgz", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff")
_UNSHOWN = ("WEBP", "AVIF", "BMP", "TIFF")  # formats that email programs do not show
_POINTER = b"version https://git-lfs.github.com/spec/"
_GPS, _ORIENTATION = 0x8825, 0x0112  # tags of Exif
_IMAGE = re.compile(r"<img\b[^<>]*+>")
_SOURCE = re.compile(r'\bsrc="([^"]*)"')
_SIZED = re.compile(r"\b(?:width|height)\s*=")


@dataclass(frozen=True)
class Picture:
    """The size at which a picture is shown, in pixels (0: unknown), and the name of what was made from it, if anything.

    ``wrong`` says what is wrong with it, and ``level`` how bad that is. ``is_line_art``: dark lines on nothing, which vanish
    on a dark page without a light plate behind them.
    """

    width: int = 0
    height: int = 0
    made: str = ""
    wrong: str = ""
    level: str = "warning"
    is_line_art: bool = False


@dataclass(frozen=True)
class Cover:
    """The picture of an issue in lists and on cards: its address and size, and those of a small copy; widths in pixels.

    ``path`` is the file that the share card is made of.
    """

    path: Path
    alt: str
    url: str
    width: int
    height: int
    small_url: str
    small_width: int
    small_height: int


@dataclass
class IssuePictures:
    """The pictures of a build. ``place`` puts what was made into the site."""

    root: Path
    url: str
    cache: Cache
    convert: bool = True  # a preview has no place for what is made
    made: set[str] = field(default_factory=set)
    _own: tempfile.TemporaryDirectory[str] | None = None

    def fit(self, body: str, source: Source) -> str:
        """Give the pictures of an issue's HTML their size, and put smaller ones in their place. Faults are reported."""
        return _IMAGE.sub(lambda match: self._fit_one(match[0], source), body) if "<img" in body else body

    def cover(self, path: Path, alt: str, source: Source) -> Cover | None:
        """Make an issue's cover, and its small copy for lists; None, with a finding, if the file cannot be shown."""
        large = self._look(path)
        self._report(path, large, source, source.lines.get("cover", 1))
        if not large.width or (large.level == "warning" and large.wrong and not large.made):
            return None
        small = self._look(path, _LIST_WIDTH)
        original = f"{self.url}/{quote(path.relative_to(self.root).as_posix())}"
        urls = [self._address(one) or original for one in (large, small)]
        drawn = self._folder / large.made if large.made else path
        return Cover(drawn, alt, urls[0], large.width, large.height, urls[1], small.width, small.height)

    def place(self, output: Path) -> None:
        """Put what was made into the site."""
        folder = output / _FOLDER
        if self.made:
            folder.mkdir(parents=True, exist_ok=True)
        for name in self.made:
            same(self._folder / name, folder / name)
        if self._own:
            self._own.cleanup()

    @property
    def _folder(self) -> Path:
        if self.cache.folder is None:
            self._own = self._own or tempfile.TemporaryDirectory(prefix="postmerge-pictures-")
            return Path(self._own.name)
        folder = self.cache.folder / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _fit_one(self, tag: str, source: Source) -> str:
        match = _SOURCE.search(tag)
        path = self._find(html.unescape(match[1])) if match else None
        if not match or path is None:
            return tag
        picture = self._look(path)
        self._report(path, picture, source, source.line_of(path.name))
        if made := self._address(picture):
            tag = f"{tag[: match.start(1)]}{made}{tag[match.end(1) :]}"
        if picture.width and not _SIZED.search(tag):
            tag = tag.replace("<img", f'<img width="{picture.width}" height="{picture.height}"', 1)
        if picture.is_line_art and " class=" not in tag:
            tag = tag.replace("<img", f'<img class="{_LINE_ART}"', 1)
        return tag

    def _report(self, path: Path, picture: Picture, source: Source, line: int) -> None:
        finding = Finding(picture.level, source.path, line, f"{path.name} {picture.wrong}")
        if picture.wrong and finding not in source.findings:
            source.findings.append(finding)

    def _address(self, picture: Picture) -> str:
        """Return the address of what was made of a picture, which will be put into the site; '' if there is none."""
        if not picture.made or not self.convert:
            return ""
        self.made.add(picture.made)
        return f"{self.url}/{_FOLDER}/{picture.made}"

    def _find(self, address: str) -> Path | None:
        """Return the file of a picture of the site, by its address."""
        name = unquote(address.partition("?")[0]).removeprefix(f"{self.url}/")
        if name == address or not name.lower().endswith(_SUFFIXES) or "\0" in name:
            return None
        path = self.root / name
        return path if path.is_file() and path.resolve().is_relative_to(self.root) else None

    def _look(self, path: Path, width: int = CONTENT_WIDTH) -> Picture:
        stat = path.stat()
        tools = (version("pillow"), version("resvg-py"), own_code())
        key = digest("picture", *tools, path, stat.st_size, stat.st_mtime_ns, width)
        kept = self.cache.get(key)
        if kept and (not kept["made"] or (self._folder / kept["made"]).is_file()):
            return Picture(**kept)
        picture, data = look(path, width)
        if data:
            part = self._folder / f"{picture.made}.part"
            part.write_bytes(data)
            part.replace(self._folder / picture.made)
        self.cache.put(key, vars(picture))
        return picture


def look(path: Path, max_width: int = CONTENT_WIDTH) -> tuple[Picture, bytes]:
    """Measure a picture, and make a smaller one or one of another format if it needs that.

    It is shown ``max_width`` pixels wide at most, and what is made has twice as many.
    """
    size = path.stat().st_size
    if size > _MAX_IMAGE_BYTES:
        return Picture(wrong=f"has {size / 1e6:,.0f} MB: make it smaller."), b""
    data = path.read_bytes()
    if data.startswith(_POINTER):
        how = "run `git lfs pull`, and check out with LFS in the workflow"
        return Picture(wrong=f"is a pointer of Git LFS instead of a picture: {how}.", level="error"), b""
    if path.suffix.lower() in svg_sanitizer.SUFFIXES:
        return _draw(data, max_width)
    try:
        return _look(data, max_width)
    except UnreadablePicture as error:
        return Picture(wrong=f"{error.wrong}: {error.advice}."), b""


def _draw(data: bytes, max_width: int) -> tuple[Picture, bytes]:
    """Make a PNG of an SVG."""
    from PIL import Image

    try:
        width, height, made = svg_drawing.draw(data, max_width)
    except svg_sanitizer.Unreadable as wrong:
        return Picture(wrong=f"is not shown in emails, because {wrong}: save it as PNG."), b""
    with Image.open(io.BytesIO(made)) as image:
        is_line_art = _is_line_art(image)
    return Picture(width, height, hashlib.sha256(made).hexdigest()[:20] + ".png", is_line_art=is_line_art), made


def _is_line_art(image: object) -> bool:
    """Does a picture consist of dark lines on a transparent ground?"""
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return False
    small = image.convert("RGBA")
    small.thumbnail((96, 96))
    clear, dark, drawn = 0, 0.0, 0.0
    pixels = small.tobytes()
    for red, green, blue, alpha in zip(pixels[::4], pixels[1::4], pixels[2::4], pixels[3::4], strict=True):
        clear += alpha < 32
        dark += alpha * (0.299 * red + 0.587 * green + 0.114 * blue)
        drawn += alpha
    return drawn > 0 and clear > _MIN_CLEAR_SHARE * small.width * small.height and dark / drawn < _MAX_DARK


def _look(data: bytes, max_width: int) -> tuple[Picture, bytes]:
    from PIL import Image, ImageOps

    with open_picture(data) as image:
        exif = Image.Exif() if image.format in ("PNG", "GIF") else image.getexif()  # of a PNG it would decode all of it
        wide, high = image.size if exif.get(_ORIENTATION, 1) < 5 else image.size[::-1]
        width = min(wide, max_width)
        height = max(1, round(high * width / wide))
        if wide * high > _MAX_PIXELS:
            said = f"has {wide * high / 1e6:,.0f} megapixels, and is not made smaller: save it with a width of 1,200 pixels."
            return Picture(width, height, wrong=said), b""
        unshown, moves = image.format in _UNSHOWN, bool(getattr(image, "is_animated", False))
        if moves and not unshown:
            return Picture(width, height, wrong="moves: some email programs show only its first picture.", level="note"), b""
        if not (unshown or _GPS in exif or wide > 2 * max_width):
            if image.format != "PNG" or not ("transparency" in image.info or image.mode in ("RGBA", "LA")):
                image.verify()
                return Picture(width, height), b""
            return Picture(width, height, is_line_art=_is_line_art(image)), b""
        original = image.format or ""
        image.draft("RGB", (2 * max_width, 2 * max_width * high // wide + 1))
        smaller = ImageOps.exif_transpose(image)
        smaller.thumbnail((2 * max_width, high), Image.Resampling.LANCZOS)
        is_line_art = _is_line_art(smaller)
        made, suffix = _save(smaller, original)
    if len(made) >= len(data) and not unshown and _GPS not in exif:
        return Picture(width, height, is_line_art=is_line_art), b""
    said = "moves, and emails show only its first picture: save it as GIF." if moves else ""
    return Picture(width, height, hashlib.sha256(made).hexdigest()[:20] + suffix, said, is_line_art=is_line_art), made


def _save(image: object, original: str) -> tuple[bytes, str]:
    """Save without metadata but the colour profile: photographs as JPEG, all others as PNG."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    out, profile = io.BytesIO(), image.info.get("icc_profile")
    clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    if original in ("JPEG", "MPO", "WEBP", "AVIF") and not clear:
        image.convert("RGB").save(out, "JPEG", quality=85, optimize=True, progressive=True, icc_profile=profile)
        return out.getvalue(), ".jpg"
    image.info = {}
    image.save(out, "PNG", optimize=True, icc_profile=profile)
    return out.getvalue(), ".png"


def list_with_places(paths: Iterator[Path]) -> Iterator[tuple[Path, bytes]]:
    """Yield the JPEG files that say where they were taken, and their bytes without that."""
    from PIL import Image

    for path in paths:
        out = io.BytesIO()
        with contextlib.suppress(Exception), Image.open(path) as image:  # a fault is reported where an issue shows the file
            exif = image.getexif()
            if image.format == "JPEG" and _GPS in exif:
                del exif[_GPS]
                image.save(out, "JPEG", quality="keep", exif=exif, icc_profile=image.info.get("icc_profile"))
        if out.tell():
            yield path, out.getvalue()
