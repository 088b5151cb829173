"""Fetch a small file from a verified address: no redirect, for only the original address was verified; at most 64 KB."""

from __future__ import annotations

from mailer.core.errors import Unavailable
from mailer.core.net import http_client

_MAX_CERTIFICATE_BYTES = 65_536
_TIMEOUT_SECONDS = 5.0  # seconds


def fetch(url: str) -> bytes:
    """Return the content of the address. Raises Unavailable if it cannot be fetched."""
    try:
        response = http_client.get(url, seconds=_TIMEOUT_SECONDS, max_bytes=_MAX_CERTIFICATE_BYTES)
    except http_client.NoResponse as error:
        raise _explain(str(error)) from error
    if response.status != 200:
        raise _explain(f"status {response.status}")
    return response.body


def _explain(why: str) -> Unavailable:
    return Unavailable(f"Amazon SNS cannot be reached to check its message ({why}): it will be sent again.")
