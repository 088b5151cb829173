"""The client of all outgoing requests: bounds, redirects, addresses, and what it says when nothing answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mailer.core.net import http_client
from mailer.core.net.http_client import HttpRequest, NoResponse
from tests.machine import measure_slowness


class _Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        self.wfile.write(b"x" * 1000)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    _Handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_body_is_posted_with_its_headers_and_the_status_is_no_error(web: str) -> None:
    response = http_client.send(HttpRequest("POST", f"{web}/missing", {"X-One": "1"}, b"body", max_bytes=10))
    assert (response.status, response.accepted, response.body) == (404, False, b"x" * 10)
    method, path, headers, body = _Handler.seen[0]
    assert (method, path, headers["X-One"], headers["User-Agent"], body) == ("POST", "/missing", "1", "postmerge", b"body")


@pytest.mark.parametrize(
    ("method", "path", "follow", "status", "paths"),
    [
        ("GET", "/to/page", None, 302, ["/to/page"]),
        ("GET", "/to/page", lambda _url: True, 200, ["/to/page", "/page"]),
        ("GET", "/to/to/page", lambda url: not url.endswith("/to/page"), 302, ["/to/to/page"]),
        ("POST", "/to/page", lambda _url: True, 302, ["/to/page"]),
    ],
)
def test_only_a_get_follows_a_redirect_and_only_where_the_caller_allows(
    web: str, method: str, path: str, follow: Callable[[str], bool] | None, status: int, paths: list[str]
) -> None:
    assert http_client.send(HttpRequest(method, web + path, {}, follow=follow)).status == status
    assert [seen[1] for seen in _Handler.seen] == paths


def test_redirects_without_end_are_no_response(web: str) -> None:
    with pytest.raises(NoResponse, match="too many redirects"):
        http_client.get(f"{web}/to" + "/to" * 20 + "/page", follow=lambda _url: True)


def test_a_name_that_is_not_ascii_and_a_path_with_blanks_are_encoded(web: str) -> None:
    port = web.rpartition(":")[2]
    asked = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    http_client.send(HttpRequest("GET", f"http://straße.example:{port}/ä b?q=ü#part", {}, resolve=resolve))
    assert asked == ["xn--strae-oqa.example"]
    assert _Handler.seen[0][1] == "/%C3%A4%20b?q=%C3%BC"
    assert _Handler.seen[0][2]["Host"] == f"xn--strae-oqa.example:{port}"


def test_an_address_that_is_not_allowed_is_never_connected_to(web: str) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise PermissionError("private")

    with pytest.raises(NoResponse, match="PermissionError"):
        http_client.send(HttpRequest("GET", web, {}, resolve=resolve))
    with pytest.raises(NoResponse):
        http_client.send(HttpRequest("GET", web, {}, resolve=lambda _host, _port: []))
    assert _Handler.seen == []


def test_a_refused_connection_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NoResponse, match="ConnectionRefusedError"):
        http_client.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"])
def test_a_silent_and_a_dripping_server_are_left_at_the_deadline(sent: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            client, _ = server.accept()
            with client:
                try:
                    client.sendall(sent)
                    while sent:
                        client.sendall(b"x")
                        time.sleep(0.02)
                    client.recv(65536)
                    client.recv(1)
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(NoResponse, match="Timeout"):
            http_client.send(
                HttpRequest("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", {}, seconds=0.3, total_seconds=0.5)
            )
        assert time.monotonic() - started < 5 * measure_slowness()


def test_a_proxy_of_the_environment_is_used_but_not_by_requests_with_addresses_of_their_own(
    web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", web)
    monkeypatch.setenv("no_proxy", "")
    http_client.get("http://news.example.org/page")
    assert _Handler.seen[0][1] == "http://news.example.org/page"
    with pytest.raises(NoResponse):
        http_client.send(HttpRequest("GET", "http://news.example.org/page", {}, resolve=lambda _host, _port: []))
    assert len(_Handler.seen) == 1


@pytest.mark.parametrize("url", ["ftp://example.org/", "http://", "nothing", "http://[::1"])
def test_a_url_that_is_none_is_no_response(url: str) -> None:
    with pytest.raises(NoResponse):
        http_client.get(url)
