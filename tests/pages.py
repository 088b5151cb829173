"""A web server with one page: it shows a digest or is missing, and takes notices."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest


class Page(http.server.BaseHTTPRequestHandler):
    """A page that shows a digest, or is missing, and takes notices."""

    digest = ""
    got: list[str] = []  # noqa: RUF012
    visits: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        Page.visits.append(self.path)
        body = f'<div data-digest="{Page.digest}"></div>'.encode()
        self.send_response(200 if Page.digest else 404)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        Page.got.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Page.digest, Page.got, Page.visits = "", [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
