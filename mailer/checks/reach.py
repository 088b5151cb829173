"""Check links politely: HEAD, then GET; one request at a time to each host; results cached; private addresses refused.

States: ``waiting`` (not answered yet), ``fine``, ``redirected`` (for good, to ``detail``), ``gone``, ``slow``, ``unsure`` (the
server does not let programs look, or the network is away) and ``refused`` (an address of a private network, never asked).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import httpcore
import orjson

from mailer.core.errors import BadInput
from mailer.core.net import http_client, ip_addresses

_KEPT = {"fine": 86400.0, "redirected": 86400.0, "gone": 3600.0, "slow": 3600.0, "unsure": 600.0, "refused": 60.0}
_MAX_REDIRECTS = 5
_MAX_CONCURRENT_HOSTS = 16
_PAUSE_SECONDS = 0.2  # between two requests to one host
_SLOW, _LONGEST = 5.0, 10.0  # seconds
_PERMANENT, _MOVED = {301, 308}, {301, 302, 303, 307, 308}
_GONE = {404, 410, 451}
_LASTING = ("example.com", "iana.org")  # names that exist as long as there is a network
_AGENT = "Mozilla/5.0 (compatible; postmerge link check)"


@dataclass(frozen=True)
class Verdict:
    """The state of a link; ``detail`` is for people, and the new address for ``redirected``."""

    state: str
    detail: str = ""


OFFLINE = Verdict("unsure", "the network is unreachable")


class Private(Exception):
    """The name resolves to a private network."""


def is_public(address: str) -> bool:
    """Is this an address of the public internet, however it is embedded?"""
    return ip_addresses.is_public(ip_addresses.parse_ip(address))


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connect to the very address that was checked, so that a name cannot resolve differently between check and connection."""

    def __init__(self, may_reach: Callable[[str], bool]) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._may_reach = may_reach

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), timeout)
        addresses = [str(entry[4][0]) for entry in found]
        if not all(self._may_reach(address) for address in addresses):
            raise Private(host)
        last: Exception = OSError("no address")
        for address in addresses[:3]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Reach:
    """Use it inside one event loop; ``keep`` is the file that caches results."""

    def __init__(self, keep: Path | None = None, may_reach: Callable[[str], bool] = is_public) -> None:
        self._keep = keep
        self._answered = False  # one of the servers
        self._known: dict[str, tuple[str, str, float]] = _read(keep)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=_Guarded(may_reach),
            max_connections=_MAX_CONCURRENT_HOSTS, max_keepalive_connections=0,
        )  # fmt: skip
        self._hosts: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._gate = asyncio.Semaphore(_MAX_CONCURRENT_HOSTS)
        self._running: dict[str, asyncio.Task[Verdict]] = {}

    def known(self, url: str) -> Verdict | None:
        """Return a cached result that is still fresh."""
        state, detail, until = self._known.get(urldefrag(url)[0], ("", "", 0.0))
        return Verdict(state, detail) if until > time.time() else None

    async def ask(self, url: str) -> Verdict:
        """Check a link, from the cache or its server; concurrent calls for one link share a request."""
        url = urldefrag(url)[0]
        if answer := self.known(url):
            return answer
        if url not in self._running:
            self._running[url] = asyncio.create_task(self._asked(url))
        try:
            return await asyncio.shield(self._running[url])
        finally:
            if url in self._running and self._running[url].done():
                del self._running[url]

    async def ask_all(self, urls: Iterable[str], tell: Callable[[str, Verdict], None]) -> None:
        """Check all links, and report each verdict as it comes."""

        async def one(url: str) -> None:
            tell(url, await self.ask(url))

        await asyncio.gather(*(one(url) for url in dict.fromkeys(urls)))

    async def close(self) -> None:
        """Stop checking, and save the results."""
        for task in self._running.values():
            task.cancel()
        await self._pool.aclose()
        if self._keep:
            with contextlib.suppress(OSError):
                self._keep.parent.mkdir(parents=True, exist_ok=True)
                part = self._keep.with_suffix(".part")
                part.write_bytes(orjson.dumps({url: kept for url, kept in self._known.items() if kept[2] > time.time()}))
                part.replace(self._keep)

    async def _is_online(self) -> bool:
        """Has any server answered, or does any name resolve?"""
        return self._answered or await _online()

    async def _asked(self, url: str) -> Verdict:
        try:
            verdict = await self._follow(url)
        except Private:
            verdict = Verdict("refused", "it is a private network address")
        except (TimeoutError, httpcore.TimeoutException):
            verdict = Verdict("slow", f"no response within {_LONGEST:.0f} s") if await self._is_online() else OFFLINE
        except socket.gaierror as error:
            none = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
            verdict = Verdict("gone", "no such host") if none and await self._is_online() else OFFLINE
        except (httpcore.ConnectError, httpcore.NetworkError, OSError) as error:
            why = str(error)[:60] or type(error).__name__
            verdict = Verdict("gone", f"no connection ({why})") if await self._is_online() else OFFLINE
        except BadInput:  # IDNA refuses the name, so no name server knows it
            verdict = Verdict("gone", "no such host")
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
            verdict = Verdict("gone", f"invalid response ({str(error)[:60]})")
        self._known[url] = (verdict.state, verdict.detail, time.time() + _KEPT[verdict.state])
        return verdict

    async def _follow(self, url: str) -> Verdict:
        started, here, permanent = time.monotonic(), url, True
        for _hop in range(_MAX_REDIRECTS):
            status, target = await self._status(here)
            if status not in _MOVED or not target:
                return self._judged(status, url, here if permanent else url, time.monotonic() - started)
            permanent = permanent and status in _PERMANENT
            here = urljoin(here, target)
            if not here.startswith(("http://", "https://")):
                return Verdict("gone", f"redirects to {here[:60]}")
        return Verdict("gone", f"more than {_MAX_REDIRECTS} redirects")

    def _judged(self, status: int, url: str, here: str, seconds: float) -> Verdict:
        if status in _GONE:
            return Verdict("gone", f"status {status}")
        if status >= 400:
            return Verdict("unsure", f"status {status} for bots")
        if seconds > _SLOW:
            return Verdict("slow", f"response after {seconds:.0f} s")
        return Verdict("redirected", here) if here.rstrip("/") != url.rstrip("/") else Verdict("fine", str(status))

    async def _status(self, url: str) -> tuple[int, str]:
        status, target = await self._request("HEAD", url)
        if status >= 400 and status != 429:
            status, target = await self._request("GET", url)
        return status, target

    async def _request(self, method: str, url: str) -> tuple[int, str]:
        plain = url if url.isascii() else http_client.to_ascii(url)
        parts = urlsplit(plain)
        headers = [("User-Agent", _AGENT), ("Accept", "*/*"), ("Host", parts.netloc.rpartition("@")[2])]
        times = {"connect": _LONGEST, "read": _LONGEST, "write": _LONGEST, "pool": 60.0}
        async with self._gate, self._hosts[parts.hostname or ""]:
            async with (
                asyncio.timeout(_LONGEST * 2),
                self._pool.stream(method, plain, headers=headers, extensions={"timeout": times}) as answer,
            ):
                found = dict(answer.headers)
                status, target = answer.status, found.get(b"Location", found.get(b"location", b"")).decode("utf-8", "replace")
            self._answered = True
            await asyncio.sleep(_PAUSE_SECONDS)
        return status, target


async def _online() -> bool:
    """Does any name resolve? Without a network every host looks as if it did not exist."""
    for name in _LASTING:
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo(name, 443), 3.0)
            return True
    return False


def _read(keep: Path | None) -> dict[str, tuple[str, str, float]]:
    try:
        return {url: tuple(kept) for url, kept in orjson.loads(keep.read_bytes()).items()} if keep else {}
    except (OSError, ValueError, AttributeError):
        return {}
