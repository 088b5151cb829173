"""Videos in issues: an address alone on a line becomes a picture with a play mark that leads to it.

The picture is a file of the content folder, which ``postmerge check --fix`` fetches: a build never asks the network.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from mailer.editions.images import UnreadablePicture, open_picture
from mailer.editions.source.front_matter import Source

_FOLDER = "images/videos"
_SIZE = (1200, 675)
_MAX_THUMBNAIL_PIXELS = 20_000_000
_MAX_TITLE_CHARS = 200
_YOUTUBE = ("youtube.com", "www.youtube.com", "m.youtube.com", "www.youtube-nocookie.com")
_ID = re.compile(r"[\w-]{11}", re.ASCII)
_VIMEO = re.compile(r"/(?:video/|channels/\w+/)?([0-9]{5,15})(?:/\w+)?/?", re.ASCII)
_PEERTUBE = re.compile(r"/(?:w|videos/watch)/([1-9A-HJ-NP-Za-km-z]{22}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")
_PARAGRAPH = re.compile(r"<p>((?:(?!</?p>).)*?https?://.*?)</p>", re.DOTALL)
_LINE = re.compile(r'(?:<a\b[^<>]*\bhref="(https?://[^"<>\s]+)"[^<>]*>[^<>]*</a>|(https?://[^"<>\s]+))(?:<br ?/?>)?')


@dataclass(frozen=True)
class Video:
    """A video at its address. ``service`` is youtube, vimeo or peertube; ``name`` is that of its files, without a suffix."""

    url: str
    service: str
    name: str

    def thumbnail(self, root: Path) -> Path:
        """Return the place of its picture below the content folder."""
        return root / _FOLDER / f"{self.name}.jpg"

    def title(self, root: Path) -> str:
        """Return its title, from the file beside its picture, else its address."""
        try:
            found = " ".join((root / _FOLDER / f"{self.name}.txt").read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError):
            found = ""
        return found[:_MAX_TITLE_CHARS] or self.url.partition("://")[2]


def find_video(url: str) -> Video | None:
    """Recognise the address of a video at YouTube, Vimeo or a PeerTube server."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if host in _YOUTUBE or host == "youtu.be":
        first, *rest = parts.path.strip("/").split("/")
        given = parse_qs(parts.query).get("v", [""])[0] if first == "watch" else (rest or [""])[0]
        found = first if host == "youtu.be" else given if first in ("watch", "shorts", "live", "embed", "v") else ""
        return Video(url, "youtube", f"youtube-{found}") if _ID.fullmatch(found) else None
    if host in ("vimeo.com", "www.vimeo.com", "player.vimeo.com"):
        match = _VIMEO.fullmatch(parts.path)
        return Video(url, "vimeo", f"vimeo-{match[1]}") if match else None
    match = _PEERTUBE.fullmatch(parts.path)
    where = re.sub(r"[^a-z0-9.]", "-", f"{host}-{port}" if port else host)[:100]
    return Video(url, "peertube", f"peertube-{where}-{match[1]}") if match else None


def show_videos(body: str, source: Source, root: Path, site_url: str, *, is_adopted: bool) -> str:
    """Put the picture of each video in the place of its address, if that is alone on a line of a paragraph of the HTML.

    Without a picture the address becomes a link and is reported; in an adopted site it stays as it is.
    """

    def show(line: str) -> str:
        match = _LINE.fullmatch(line.strip())
        video = find_video(html.unescape(match[1] or match[2])) if match else None
        if not video:
            return line
        url = html.escape(video.url)
        if video.thumbnail(root).is_file():
            picture = f"{site_url}/{_FOLDER}/{quote(video.name)}.jpg"
            return f'</p>\n<p><a href="{url}"><img src="{picture}" alt="▶ {html.escape(video.title(root))}"></a></p>\n<p>'
        if is_adopted:
            return line
        message = f"The picture of {video.url[:100]} is missing: `postmerge check --fix` fetches it."
        source.warning(source.line_of(video.url), message)
        return f'<a href="{url}">{url}</a>'

    def split(match: re.Match[str]) -> str:
        shown = "\n".join(map(show, match[1].split("\n")))
        apart = f"<p>{shown}</p>".replace("\n</p>", "</p>").replace("<p>\n", "<p>")
        return match[0] if shown == match[1] else re.sub(r"<p>\s*</p>\n?", "", apart)

    return _PARAGRAPH.sub(split, body) if "://" in body and "<p>" in body else body


def draw_thumbnail(data: bytes) -> bytes:
    """Cut a picture to 16:9 and put a play mark on it, as JPEG. Raises UnreadablePicture."""
    from PIL import Image, ImageDraw, ImageOps

    with open_picture(data) as image:
        if image.width * image.height > _MAX_THUMBNAIL_PIXELS:
            raise UnreadablePicture("has too many pixels", "take a smaller one")
        width = min(_SIZE[0], image.width)
        made = ImageOps.fit(image.convert("RGB"), (width, max(1, width * _SIZE[1] // _SIZE[0])))
    mark = Image.new("L", (400, 400), 0)  # drawn large and made smaller, for smooth edges
    pen = ImageDraw.Draw(mark)
    pen.ellipse((0, 0, 399, 399), fill=170)
    side = max(24, made.width // 7)
    center = ((made.width - side) // 2, (made.height - side) // 2)
    made.paste((0, 0, 0), center, mark.resize((side, side), Image.Resampling.LANCZOS))
    triangle = Image.new("L", (400, 400), 0)
    ImageDraw.Draw(triangle).polygon([(150, 105), (150, 295), (310, 200)], fill=255)
    made.paste((255, 255, 255), center, triangle.resize((side, side), Image.Resampling.LANCZOS))
    out = io.BytesIO()
    made.save(out, "JPEG", quality=85, optimize=True, progressive=True)
    return out.getvalue()
