"""Fetch a small file from a verified address: HTTPS only, no redirect, at most 64 KB."""

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
        """Refuse redirects: only the original address was verified."""


opener = urllib.request.build_opener(_RefuseRedirects)


def fetch(url: str) -> bytes:
    """Return the content of the address. Raises Unavailable if it cannot be fetched."""
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            return bytes(answer.read(_MAX_CERTIFICATE_BYTES))
    except (OSError, HTTPException) as error:
        why = f"{type(error).__name__} {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        raise Unavailable(f"Amazon SNS cannot be reached to check its message ({why}): it will be sent again.") from error
