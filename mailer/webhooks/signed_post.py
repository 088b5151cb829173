"""Post to untrusted addresses: signed as in Standard Webhooks, never into a private network, never redirected."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailer.core import domain_names
from mailer.core.errors import BadInput
from mailer.core.net import http_client
from mailer.core.net.ip_addresses import IPAddress, is_public, parse_ip

TIMEOUT_SECONDS = 10.0  # seconds to connect, and for each read
MAX_ANSWER_SECONDS = 30.0  # for the whole answer, of a target that sends it byte by byte
_MAX_ANSWER_BYTES = 4096  # bytes of the answer that are read
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class PostAttempt:
    """The result of one attempt. ``status`` is None without a response; ``error`` is empty on success."""

    status: int | None
    error: str
    milliseconds: int


def parse_networks(text: str) -> list[IPNetwork]:
    """Parse the private networks that are allowed, separated by commas. Raises BadInput."""
    try:
        return [ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip()]
    except ValueError as error:
        raise BadInput(f"POSTMERGE_WEBHOOK_NETWORKS is {text!r}: give networks such as 10.1.0.0/16, with commas.") from error


def check_target(url: str, allowed: Sequence[IPNetwork]) -> None:
    """Raise BadInput if an address cannot be posted to as written. The name is resolved again at each attempt."""
    parts = _split_url(url)
    try:
        address = parse_ip(parts[1])
    except ValueError:
        return
    if not _is_allowed(address, allowed):
        raise BadInput(_PRIVATE_ADDRESS)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``: ``v1,`` and the HMAC-SHA256 of id, time and body in base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_decode_key(secret), signed, "sha256")).decode()


def post(url: str, secret: str, message_id: str, body: bytes, allowed: Sequence[IPNetwork]) -> PostAttempt:
    """Post once. Raises nothing: the result says what went wrong."""
    started = time.monotonic()
    try:
        status = _post_once(url, secret, message_id, body, allowed)
        error = (
            ""
            if 200 <= status < 300
            else f"answered {status}" + (" (redirects are not followed)" if 300 <= status < 400 else "")
        )
    except BadInput as refused:
        status, error = None, str(refused)
    except http_client.NoResponse as broken:
        status, error = None, f"no answer ({broken})"
    return PostAttempt(status, error, round((time.monotonic() - started) * 1000))


_PRIVATE_ADDRESS = "This address is in a private network: use a public one, or allow it in POSTMERGE_WEBHOOK_NETWORKS."


def _post_once(url: str, secret: str, message_id: str, body: bytes, allowed: Sequence[IPNetwork]) -> int:
    now = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, message_id, now, body),
        "X-Buttondown-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }

    def find_allowed(host: str, port: int) -> list[str]:
        found = http_client.find_addresses(host, port)
        if not found or not all(_is_allowed(parse_ip(one), allowed) for one in found):
            raise BadInput(_PRIVATE_ADDRESS)
        return found

    check_target(url, allowed)
    request = http_client.HttpRequest(
        "POST", url, headers, body, TIMEOUT_SECONDS, MAX_ANSWER_SECONDS, _MAX_ANSWER_BYTES, find_allowed
    )
    return http_client.send(request).status


def _is_allowed(address: IPAddress, allowed: Sequence[IPNetwork]) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped.version == one.version and mapped in one for one in allowed) or is_public(address)


def _split_url(url: str) -> tuple[str, str, int, str]:
    try:
        parts = domain_names.with_ascii_host(urlsplit(url))
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput("The address cannot be read: write it as https://example.org/hook.") from error
    whole = parts.geturl()
    printable = whole.isascii() and whole.isprintable() and " " not in whole
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or not printable:
        raise BadInput("The address cannot be used: write it as https://example.org/hook, without a name and password.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path


def _decode_key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass
    return secret.encode()
