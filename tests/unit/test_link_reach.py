"""Links are asked for on the public internet only, at the very address that was checked, whatever a name leads to."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpcore
import pytest

from mailer.checks import reach
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
