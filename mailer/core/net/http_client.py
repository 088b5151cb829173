"""Outgoing requests: one client for webhooks, notices, the page gate, forges, SNS, captchas and servers with a key.

A name is resolved once, and the connection goes to an address that the caller's ``resolve`` returned: a name that resolves
differently the second time gains nothing. A response is bounded in bytes and in seconds, however slowly its parts arrive.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

from mailer.core import domain_names
from mailer.core.errors import BadInput
from mailer.core.net.ip_addresses import is_public, parse_ip

_MAX_HOPS = 5
_MAX_ADDRESSES = 3  # of a name, that are tried
_FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.UnsupportedProtocol)
_REDIRECTS = (301, 302, 303, 307, 308)


class NoResponse(Exception):
    """No response arrived; the text is the name of the reason, such as ``ConnectionRefusedError``.

    ``certificate`` says what is wrong with the server's certificate, "" if that is not the reason.
    """

    def __init__(self, reason: str, certificate: str = "") -> None:
        super().__init__(reason)
        self.certificate = certificate


@dataclass(frozen=True)
class Response:
    """A response. Header names are lower case; ``body`` ends at the request's ``max_bytes``.

    ``certificate_expires`` is in seconds since 1970, None without TLS.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate_expires: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class HttpRequest:
    """A request, and the bounds of its response.

    ``seconds`` bounds connecting and each read, ``total_seconds`` (by default three times as much) the whole. ``resolve``
    returns the addresses of a host and port that may be connected to, or raises a PostmergeError; a request with it
    never goes through a proxy. ``follow`` decides whether a GET follows a redirect to a URL; without it none is followed.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    seconds: float = 10.0
    total_seconds: float = 0.0
    max_bytes: int = 65_536
    resolve: Callable[[str, int], Sequence[str]] | None = None
    follow: Callable[[str], bool] | None = None


def send(request: HttpRequest) -> Response:
    """Return the response, whatever its status. Raises NoResponse, and the PostmergeError that ``resolve`` raises."""
    deadline = time.monotonic() + (request.total_seconds or 3 * request.seconds)
    url = request.url
    for _hop in range(_MAX_HOPS + 1):
        response = _send_once(request, url, deadline)
        target = urljoin(url, response.headers.get("location", ""))
        followed = request.follow and request.method == "GET" and response.status in _REDIRECTS and target != url
        if not followed or not target.startswith(("http://", "https://")) or not (request.follow and request.follow(target)):
            return response
        url = target
    raise NoResponse("too many redirects")


def get(url: str, *, seconds: float = 10.0, max_bytes: int = 65_536, follow: Callable[[str], bool] | None = None) -> Response:
    """Send a GET without headers of the caller's. Raises NoResponse."""
    return send(HttpRequest("GET", url, {}, seconds=seconds, max_bytes=max_bytes, follow=follow))


def to_ascii(url: str) -> str:
    """Encode a URL with other characters than ASCII for HTTP. Raises BadInput for a host that IDNA refuses."""
    parts = domain_names.with_ascii_host(urlsplit(url))
    path, query = quote(parts.path, safe="/:@!$&'()*+,;=%~[]"), quote(parts.query, safe="/:@!$&'()*+,;=%~[]?")
    return parts._replace(path=path, query=query, fragment="").geturl()


def find_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host, each once. Raises OSError."""
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def find_public_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host, for ``resolve``. Raises OSError, and BadInput if one is not on the public internet."""
    found = find_addresses(host, port)
    if not all(is_public(parse_ip(one)) for one in found):
        raise BadInput(f"{host} is in a private network")
    return found


def _send_once(request: HttpRequest, url: str, deadline: float) -> Response:
    try:
        ascii_url = to_ascii(url)
        netloc = urlsplit(ascii_url).netloc.rpartition("@")[2]
        headers = {"Host": netloc, "User-Agent": "postmerge", "Connection": "close", **request.headers}
        with (
            _open_pool(request, ascii_url, deadline) as pool,
            pool.stream(
                request.method, ascii_url, headers=list(headers.items()), content=request.body,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), request.seconds)},
            ) as answer,
        ):  # fmt: skip
            expires = _find_expiry(answer)
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return Response(answer.status, found, _read(answer.iter_stream(), request.max_bytes), expires)
    except (*_FAILURES, OSError, ValueError) as error:
        root = _find_root(error)
        reason = "name not found" if isinstance(root, socket.gaierror) else type(root).__name__
        raise NoResponse(reason, getattr(root, "verify_message", "")) from error


def _open_pool(request: HttpRequest, url: str, deadline: float) -> httpcore.ConnectionPool:
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    context = ssl.create_default_context() if scheme == "https" else None
    backend = _Backend(request.resolve or find_addresses, deadline)
    proxy = None if request.resolve or proxy_bypass(host) else getproxies().get(scheme)
    if proxy:
        return httpcore.HTTPProxy(proxy, ssl_context=context, network_backend=backend)
    return httpcore.ConnectionPool(ssl_context=context, network_backend=backend)


def _read(parts: Iterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    for part in parts:
        body += part
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


def _find_expiry(answer: httpcore.Response) -> float | None:
    connected = answer.extensions["network_stream"].get_extra_info("ssl_object")
    until = (connected.getpeercert() or {}).get("notAfter") if connected else None
    return ssl.cert_time_to_seconds(until) if until else None


def _find_root(error: BaseException) -> BaseException:
    """The error that the library wrapped: it comes as the argument, for the cause is cut off by its connection pool."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return error


class _Backend(httpcore.NetworkBackend):
    """Connects to one of the addresses that ``resolve`` returns, by a deadline."""

    def __init__(self, resolve: Callable[[str, int], Sequence[str]], deadline: float) -> None:
        self._inner = httpcore.SyncBackend()
        self._resolve = resolve
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        last: Exception = OSError("no address")
        for address in self._resolve(host, port)[:_MAX_ADDRESSES]:
            try:
                left = _bound(timeout, self._deadline)
                return _BoundedStream(
                    self._inner.connect_tcp(address, port, left, local_address, socket_options), self._deadline
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last


class _BoundedStream(httpcore.NetworkStream):
    """A connection on which no read or write lasts beyond a deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _bound(timeout, self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _bound(timeout, self._deadline))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _bound(timeout, self._deadline)
        return _BoundedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


def _bound(timeout: float | None, deadline: float) -> float:
    """Seconds until a read or write must end. Raises httpcore.ReadTimeout after the deadline."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(timeout, left)
