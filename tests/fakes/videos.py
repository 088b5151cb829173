"""A server of videos: it answers oEmbed requests, and has a picture for each video that it knows."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import orjson
from PIL import Image


@dataclass
class FakeVideos:
    """``titles`` by the addresses of videos; ``asked`` has the path of each request."""

    url: str = ""
    titles: dict[str, object] = field(default_factory=dict)
    picture: bytes = b""
    asked: list[str] = field(default_factory=list)

    def answer(self, target: str) -> tuple[int, bytes]:
        """Return the status and the body for a request."""
        parts = urlsplit(target)
        self.asked.append(parts.path)
        if parts.path == "/services/oembed":
            video = parse_qs(parts.query)["url"][0]
            if video not in self.titles:
                return 404, b"Not Found"
            return 200, orjson.dumps({"title": self.titles[video], "thumbnail_url": f"{self.url}/vi/1/hqdefault.jpg"})
        return (200, self.picture) if parts.path == "/vi/1/hqdefault.jpg" else (404, b"Not Found")


@contextmanager
def serve_videos() -> Iterator[FakeVideos]:
    """Run the server on a free port."""
    out = io.BytesIO()
    Image.new("RGB", (480, 360), (200, 30, 30)).save(out, "JPEG")
    fake = FakeVideos(picture=out.getvalue())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = fake.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
