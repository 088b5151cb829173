"""Links are asked for on the public internet only, at the very address that was checked, whatever a name leads to."""

from __future__ import annotations

import asyncio
import io
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpcore
import pytest
from rich.console import Console

from mailer.checks import Document, Remark, network, reach
from mailer.checks.reach import Private

PUBLIC, OTHER, PRIVATE, METADATA = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "10.0.0.1", "169.254.169.254"


def asked(monkeypatch: pytest.MonkeyPatch, *addresses: str, broken: int = 0) -> list[str]:
    """The hosts that are connected to for a name with these addresses; the first ``broken`` of them do not answer."""
    connected: list[str] = []

    async def resolve(_loop: object, host: str, port: int, **_more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    async def connect(_self: object, host: str, *_more: Any) -> object:
        connected.append(host)
        if len(connected) <= broken:
            raise httpcore.ConnectError("refused")
        return object()

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    asyncio.run(reach._Guarded(reach.is_public).connect_tcp("news.example.org", 80, 1.0))
    return connected


@pytest.mark.parametrize(
    "addresses",
    [(PUBLIC, PRIVATE), (PRIVATE, PUBLIC), (PUBLIC, METADATA), (METADATA,), (PUBLIC, OTHER, "::1"), (OTHER, "fd00::1"), ()],
)
def test_a_name_with_one_private_address_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    with pytest.raises((Private, OSError)):
        asked(monkeypatch, *addresses)


def test_the_connection_goes_to_the_address_that_was_checked_and_not_to_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, PUBLIC, OTHER) == [PUBLIC]


def test_an_address_that_does_not_answer_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, PUBLIC, OTHER, broken=1) == [PUBLIC, OTHER]


SITE = "https://news.example.org"


def judged(monkeypatch: pytest.MonkeyPatch, *hops: tuple[int, str], seconds: float = 0.0) -> reach.Verdict:
    """The verdict about a link whose server answers like this, hop by hop (the last stays)."""
    asked: list[str] = []
    clock = iter([0.0, seconds])

    async def status(_self: object, url: str) -> tuple[int, str]:
        asked.append(url)
        return hops[min(len(asked), len(hops)) - 1]

    monkeypatch.setattr(reach.Reach, "_status", status)
    monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: next(clock), time=time.time))

    async def ask() -> reach.Verdict:
        asker = reach.Reach()
        verdict = await asker.ask(f"{SITE}/a")
        await asker.close()
        return verdict

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("hops", "state", "detail"),
    [
        ([(200, "")], "fine", "200"), ([(204, "")], "fine", "204"), ([(304, "")], "fine", "304"),
        ([(404, "")], "gone", "status 404"), ([(410, "")], "gone", "status 410"), ([(451, "")], "gone", "status 451"),
        ([(400, "")], "unsure", "status 400 for bots"), ([(401, "")], "unsure", "status 401 for bots"),
        ([(403, "")], "unsure", "status 403 for bots"), ([(429, "")], "unsure", "status 429 for bots"),
        ([(500, "")], "unsure", "status 500 for bots"), ([(503, "")], "unsure", "status 503 for bots"),
        ([(301, "/b"), (200, "")], "redirected", f"{SITE}/b"), ([(308, "/b"), (200, "")], "redirected", f"{SITE}/b"),
        ([(302, "/b"), (200, "")], "fine", "200"), ([(303, "/b"), (200, "")], "fine", "200"),
        ([(307, "/b"), (200, "")], "fine", "200"), ([(301, "/a/"), (200, "")], "fine", "200"),
        ([(301, "/b"), (302, "/c"), (200, "")], "fine", "200"), ([(302, "/b"), (301, "/c"), (200, "")], "fine", "200"),
        ([(301, "/b"), (301, "https://b.example/c"), (200, "")], "redirected", "https://b.example/c"),
        ([(301, "/b"), (404, "")], "gone", "status 404"), ([(301, "")], "fine", "301"),
        ([(301, "ftp://news.example.org/x")], "gone", "redirects to ftp://news.example.org/x"),
        ([(301, "/b")], "gone", "more than 5 redirects"),
    ],
)  # fmt: skip
def test_each_answer_of_a_server_is_one_verdict(
    monkeypatch: pytest.MonkeyPatch, hops: list[tuple[int, str]], state: str, detail: str
) -> None:
    found = judged(monkeypatch, *hops)
    assert (found.state, found.detail) == (state, detail)


@pytest.mark.parametrize(("seconds", "state"), [(4.9, "fine"), (5.0, "fine"), (5.1, "slow")])
def test_more_than_five_seconds_are_slow(monkeypatch: pytest.MonkeyPatch, seconds: float, state: str) -> None:
    assert judged(monkeypatch, (200, ""), seconds=seconds).state == state


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "::1", "fe80::1%eth0", "fc00::1",
     "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:e000:1::", "224.0.0.1", "ff02::1", "0.0.0.0", "100.64.0.1",
     "64:ff9b::e000:1", "::ffff:224.0.0.1"],
)  # fmt: skip
def test_whatever_a_private_address_is_wrapped_in_it_is_not_public(address: str) -> None:
    assert not reach.is_public(address)


def said_about_links(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> tuple[list[Remark], str]:
    """What is found and printed about a link to each host, where there is a network only for ``up.example``."""

    async def resolve(_loop: object, host: str, port: int, **_more: Any) -> list[Any]:
        if host != "up.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (PUBLIC, port))]

    async def request(self: reach.Reach, method: str, url: str) -> tuple[int, str]:
        await asyncio.get_running_loop().getaddrinfo(url.removeprefix("https://").partition("/")[0], 443)
        return 200, ""

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    monkeypatch.setattr(reach.Reach, "_request", request)
    console = Console(file=io.StringIO(), width=200)
    text = "Title: A\n\n" + " ".join(f"<https://{host}/>" for host in hosts)
    found = network.examine([Document(Path("a.md"), "a.md", text.encode())], console)
    return found, console.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_network_no_link_is_broken_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = said_about_links(monkeypatch, "a.example", "b.example")
    assert (found, "No link was checked, because the network is unreachable" in said) == ([], True)
    found, said = said_about_links(monkeypatch, "a.example", "up.example")
    assert (found, "1 of 2 links were not checked" in said) == ([], True)
    assert said_about_links(monkeypatch, "up.example") == ([], "")
