"""Videos whose pictures are missing, and how ``postmerge check --fix`` fetches these from the videos' servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import orjson

from mailer.checks.context import Context
from mailer.checks.document import Document
from mailer.checks.registry import Found, check, shorten
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.net import http_client, ip_addresses
from mailer.editions.images.videos import Video, draw_thumbnail, find_video

SERVICES = {"youtube": "https://www.youtube.com/oembed", "vimeo": "https://vimeo.com/api/oembed.json"}
_MAX_THUMBNAIL_BYTES = 10_000_000
_SECONDS = 10.0
_ALONE = re.compile(r"^ {0,3}<?(https?://[^\s<>]+)>?[ \t]*$", re.MULTILINE)


@check("video-picture", "warning", "A video's address alone on a line, whose picture is missing; `--fix` fetches it.")
def video_picture(doc: Document, ctx: Context) -> Iterator[Found]:
    for video, at in list_videos(doc):
        if not doc.is_page and not video.thumbnail(ctx.root).is_file():
            yield Found(at, f"The picture of {shorten(video.url, 100)} is missing: `postmerge check --fix` fetches it.")


def list_videos(doc: Document) -> Iterator[tuple[Video, int]]:
    """List the videos whose addresses are alone on a line, with their places."""
    for match in _ALONE.finditer(doc.prose) if "://" in doc.prose else ():
        if video := find_video(match[1]):
            yield video, match.start(1)


def find_public(host: str, port: int) -> list[str]:
    """Return the public addresses of a host. Raises BadInput if there are none, as for a private network."""
    found = [one for one in http_client.find_addresses(host, port) if ip_addresses.is_public(ip_addresses.parse_ip(one))]
    if not found:
        raise BadInput("its server is in a private network")
    return found


@dataclass(frozen=True)
class ThumbnailFetcher:
    """Fetches pictures and titles of videos by oEmbed (https://oembed.com), into the content folder ``root``.

    ``services`` are the endpoints of the services that have one; a PeerTube server has its own.
    """

    root: Path
    services: Mapping[str, str] = field(default_factory=lambda: SERVICES)
    resolve: Callable[[str, int], Sequence[str]] = find_public

    def fetch_missing(self, docs: Iterable[Document]) -> Iterator[str]:
        """Fetch the pictures that are missing, and yield a sentence about each."""
        videos = {video.name: video for doc in docs if not doc.is_page for video, _ in list_videos(doc)}
        for video in videos.values():
            path = video.thumbnail(self.root)
            if path.is_file():
                continue
            shown = f"{self.root.name}/{path.relative_to(self.root)}"
            try:
                title, picture = self._fetch(video)
                path.parent.mkdir(parents=True, exist_ok=True)
                if title:
                    path.with_suffix(".txt").write_text(f"{title}\n", encoding="utf-8")
                path.write_bytes(picture)
                yield f"{shown}: fetched."
            except (http_client.NoResponse, PostmergeError, ValueError, OSError) as error:
                yield f"{shown} cannot be fetched ({error or type(error).__name__}): try again, or put a picture there."

    def _fetch(self, video: Video) -> tuple[str, bytes]:
        """Return the title and the drawn picture. Raises ValueError for an answer that has none."""
        parts = urlsplit(video.url)
        endpoint = self.services.get(video.service, f"{parts.scheme}://{parts.netloc}/services/oembed")
        facts = orjson.loads(self._get(f"{endpoint}?format=json&url={quote(video.url, safe='')}"))
        address = facts.get("thumbnail_url") if isinstance(facts, dict) else None
        if not isinstance(address, str) or not address.startswith(("https://", "http://")):
            raise ValueError("its server names no picture")
        title = " ".join(str(facts.get("title") or "").split())
        larger = address.replace("/hqdefault.", "/maxresdefault.")  # YouTube has it of most videos
        if larger != address:
            try:
                return title, draw_thumbnail(self._get(larger))
            except ValueError:
                pass
        return title, draw_thumbnail(self._get(address))

    def _get(self, url: str) -> bytes:
        request = http_client.HttpRequest(
            "GET", url, {}, seconds=_SECONDS, max_bytes=_MAX_THUMBNAIL_BYTES, resolve=self.resolve, follow=lambda _url: True
        )
        response = http_client.send(request)
        if not response.accepted:
            raise ValueError(f"its server answers {response.status}")
        return response.body
