"""Posting to addresses that others chose: every address of a name is checked, and the connection goes to a checked one."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from typing import Any

import pytest

from mailer.core.errors import BadInput
from mailer.webhooks import signed_post
from mailer.webhooks.signed_post import parse_networks

PUBLIC, OTHER, PRIVATE, METADATA = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "10.0.0.1", "169.254.169.254"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections go; none is ever made."""
    found: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_more: Any, **_named: Any) -> Any:
        found.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return found


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> list[str]:
    """What the name leads to, each time that it is looked up (the last answer stays); the names looked up."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_more: Any, **_named: Any) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def post(url: str = "https://hooks.example.org/x", allowed: str = "") -> str:
    attempt = signed_post.post(url, "secret", "msg_1", b"{}", parse_networks(allowed))
    assert attempt.status is None
    return attempt.error


@pytest.mark.parametrize(
    "addresses",
    [(PUBLIC, PRIVATE), (PRIVATE, PUBLIC), (PUBLIC, METADATA), (METADATA,), (PUBLIC, OTHER, "::1"), (OTHER, "fd00::1"),
     ("127.0.0.1",), ("::ffff:10.0.0.1",), ("fe80::1%eth0",), ("224.0.0.1",), ("0.0.0.0",), ("100.64.0.1",), ()],
)  # fmt: skip
def test_a_name_with_one_private_address_is_never_connected_to(
    monkeypatch: pytest.MonkeyPatch, connected: list[tuple[str, int]], addresses: tuple[str, ...]
) -> None:
    resolve(monkeypatch, addresses)
    assert "private network" in post()
    assert connected == []


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://hooks.example.org/x", 443), ("http://hooks.example.org/x", 80), ("https://hooks.example.org:8443/x", 8443)],
)
def test_the_connection_goes_to_the_checked_address_and_the_name_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch, connected: list[tuple[str, int]], url: str, port: int
) -> None:
    """A name that answers differently the second time (DNS rebinding) gains nothing."""
    asked = resolve(monkeypatch, (PUBLIC, OTHER), ("127.0.0.1",))
    assert "no answer" in post(url)
    assert connected == [(PUBLIC, port), (OTHER, port)]  # the second one after the first refused
    assert asked == ["hooks.example.org"]


def test_an_allowed_network_is_allowed_and_its_neighbour_is_not(
    monkeypatch: pytest.MonkeyPatch, connected: list[tuple[str, int]]
) -> None:
    resolve(monkeypatch, ("10.1.2.3",))
    assert "no answer" in post(allowed="10.1.0.0/16, fd00::/8")
    resolve(monkeypatch, ("10.2.0.1",))
    assert "private network" in post(allowed="10.1.0.0/16, fd00::/8")
    resolve(monkeypatch, ("10.1.2.3", "10.2.0.1"))
    assert "private network" in post(allowed="10.1.0.0/16, fd00::/8")
    resolve(monkeypatch, ("::ffff:10.1.2.3",))
    assert "no answer" in post(allowed="10.1.0.0/16, fd00::/8")
    assert connected == [("10.1.2.3", 443), ("::ffff:10.1.2.3", 443)]


@pytest.mark.parametrize("given", ["10.0.0.0/33", "example.org", "10.0.0.1/8"])
def test_a_network_that_cannot_be_read_is_one_sentence(given: str) -> None:
    with pytest.raises(BadInput, match="POSTMERGE_WEBHOOK_NETWORKS"):
        parse_networks(given)


def test_a_target_that_sends_a_byte_now_and_then_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_post, "MAX_ANSWER_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as target:

        def drip() -> None:
            client, _ = target.accept()
            with client, contextlib.suppress(OSError):
                for byte in itertools.cycle(b"HTTP/1.1 200 OK "):
                    client.sendall(bytes([byte]))
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        error = post(f"http://127.0.0.1:{target.getsockname()[1]}/", "127.0.0.0/8")
    assert error.startswith("no answer")
    assert time.monotonic() - began < 5
