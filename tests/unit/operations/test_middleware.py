"""The outermost layer of the server: how large a body may be on each path, and what every answer carries."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from api.common.middleware import MAX_BODIES_ON_DISK, HttpMiddleware, HttpPolicy

KB, MB = 1 << 10, 1 << 20
MOST = {
    "/": 64 * KB, "/subscribe": 64 * KB, "/v1/subscribers": 64 * KB, "/webhooks/stripe": 64 * KB, "/v1": 64 * KB,
    "/v1/publish": 8 * MB, "/v1/publish/editions": 8 * MB, "/v1/imports": 32 * MB, "/v1/imports/1/parts": 32 * MB,
    "/webhooks/ses": 300 * KB,
}  # fmt: skip


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says the method and how long the body was; breaks when it is asked to."""
    request = Request(scope, receive)
    body = await request.body()
    if scope["path"] == "/broken":
        raise ZeroDivisionError("ada@example.org")
    own = {"Content-Security-Policy": "default-src 'none'"} if scope["path"] == "/own" else {}
    await PlainTextResponse(f"{scope['method']} {len(body)}", 200, own)(scope, receive, send)


async def admit(scope: Scope) -> bool:
    return str(scope["path"]) != "/v1/refused"


def call(
    path: str,
    body: bytes = b"",
    announced: int | None = None,
    method: str = "POST",
    tls: bool = False,
    host: str | None = "news.example.org",
) -> list[Message]:
    """What the edge sends for one request; a body that is not announced comes in two parts."""
    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    parts = [body] if announced is not None else [body[: len(body) // 2], body[len(body) // 2 :]]
    arriving = [{"type": "http.request", "body": part, "more_body": at + 1 < len(parts)} for at, part in enumerate(parts)]
    if announced is None:
        headers = [(b"transfer-encoding", b"chunked")]
    sent: list[Message] = []

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers += [] if host is None else [(b"host", host.encode())]
    scope: Scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    policy = HttpPolicy(lambda _scope, status: PlainTextResponse("problem", status), admit, {"news.example.org"}, tls)
    edge = HttpMiddleware(app, policy)
    asyncio.run(edge(scope, receive, send))
    return sent


@pytest.mark.parametrize("path", MOST)
def test_a_body_may_be_as_large_as_its_path_allows_and_not_a_byte_more(path: str) -> None:
    assert call(path, b"x", MOST[path])[0]["status"] == 200
    assert call(path, b"x", MOST[path] + 1)[0]["status"] == 413


@pytest.mark.parametrize(("size", "status"), [(64 * KB, 200), (64 * KB + 1, 413)])
@pytest.mark.parametrize("announced", [None, 0, 1])
def test_what_is_not_announced_or_announced_falsely_is_counted(announced: int | None, size: int, status: int) -> None:
    sent = call("/subscribe", b"x" * size, announced)
    assert sent[0]["status"] == status
    if status == 200:
        assert sent[1]["body"] == f"POST {size}".encode()


@pytest.mark.parametrize("path", ["/", "/v1/ping", "/own", "/broken"])
@pytest.mark.parametrize("tls", [True, False])
def test_every_answer_has_safe_headers_and_keeps_its_own_policy(path: str, tls: bool) -> None:
    start = call(path, tls=tls)[0]
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    policy = "default-src 'none'" if path == "/own" else "frame-ancestors 'none'; object-src 'none'; base-uri 'self'"
    assert start["status"] == (500 if path == "/broken" else 200)
    assert headers["content-security-policy"] == policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert headers.get("strict-transport-security") == ("max-age=31536000" if tls else None)


def test_head_is_get_without_a_body() -> None:
    start, rest = call("/", b"", 0, "HEAD")
    assert (start["status"], rest["body"]) == (200, b"")
    assert dict(start["headers"])[b"content-length"] == b"5"  # of "GET 0"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("news.example.org", 200),
        ("NEWS.example.org.:8025", 200),
        ("evil.example.org", 421),
        ("news.example.org.evil.org", 421),
        ("evil@news.example.org:x", 421),
        ("[", 421),
        ("", 421),
        (None, 421),
    ],
)
def test_only_its_own_host_names_are_answered(host: str | None, status: int) -> None:
    assert call("/v1/subscribers", b"x", 1, host=host)[0]["status"] == status
    for path in ("/health", "/health/live", "/health/ready"):  # load balancers ask by IP address
        assert call(path, b"", 0, "GET", host=host)[0]["status"] == 200


def test_a_body_that_is_not_admitted_is_not_read() -> None:
    start, rest = call("/v1/refused", b"x" * 1000, 1000)
    assert (start["status"], rest["body"]) == (200, b"POST 0")


def test_large_bodies_are_bounded_at_once_and_free_their_place() -> None:
    policy = HttpPolicy(lambda _scope, status: PlainTextResponse("problem", status), admit, {"x"})
    edge, statuses = HttpMiddleware(app, policy), []
    headers = [(b"host", b"x"), (b"content-length", b"2000000")]
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/imports", "query_string": b"", "headers": headers}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def play() -> None:
        complete = asyncio.Event()

        async def receive() -> Message:
            await complete.wait()
            return {"type": "http.request", "body": b"x" * 2_000_000}

        async def ask() -> None:
            await edge(dict(scope), receive, send)

        waiting = [asyncio.create_task(ask()) for _ in range(MAX_BODIES_ON_DISK)]
        await asyncio.sleep(0)
        await ask()
        assert statuses == [503]
        complete.set()
        await asyncio.gather(*waiting)
        await ask()

    asyncio.run(play())
    assert statuses[1:] == [200] * (MAX_BODIES_ON_DISK + 1)
