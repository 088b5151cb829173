"""Fetching a small file from an address that was checked before: HTTPS alone, no redirect, no more than 64 KB."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from mailer.core.errors import Unavailable

_MAX_CERTIFICATE_BYTES = 65_536
_TIMEOUT_SECONDS = 5.0  # seconds


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """The address was checked; another one was not."""


opener = urllib.request.build_opener(_RefuseRedirects)


def fetch(url: str) -> bytes:
    """What lies at the address. Raises Unavailable when it cannot be had just now."""
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            return bytes(answer.read(_MAX_CERTIFICATE_BYTES))
    except (OSError, HTTPException) as error:
        why = f"{type(error).__name__} {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        raise Unavailable(f"Amazon SNS cannot be reached to check its message ({why}): it will be sent again.") from error
