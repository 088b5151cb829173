"""Which site a form was posted from, as the browser reports it."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from urllib.parse import urlsplit

from fastapi import Request

from mailer.core.domain_names import to_ascii
from mailer.core.errors import BadInput
from mailer.core.settings import Settings

_DEFAULT_PORTS = {"http": 80, "https": 443}


class PostOrigin(StrEnum):
    """Where a post comes from: a page of ours or of a configured site, a page of another site, or not known (a program)."""

    OWN = "own"
    OTHER = "other"
    UNKNOWN = "unknown"


def find_post_origin(request: Request, settings: Settings) -> PostOrigin:
    """Where the browser says that a post comes from.

    Programs that send neither Sec-Fetch-Site nor Origin are not browsers, so nobody else's page controls them.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "").lower()
    if site == "same-origin" or origin in list_own_origins(settings):
        return PostOrigin.OWN
    if site == "none" or not (site or origin):
        return PostOrigin.UNKNOWN
    has_same_host = site is None and origin.partition("://")[2] == request.headers.get("host", "").lower()
    return PostOrigin.OWN if has_same_host else PostOrigin.OTHER


@cache
def list_own_origins(settings: Settings) -> frozenset[str]:
    """The origins of the site, of the API, and of POSTMERGE_FORM_ORIGINS, as browsers write them."""
    urls = (settings.site_url, settings.api_url, *settings.form_origins)
    return frozenset(filter(None, map(_origin, urls)))


def _origin(url: str) -> str:
    """The origin of a URL without its scheme's default port, the host name in ASCII; '' if it has none."""
    try:
        parts = urlsplit(url.lower())
        host = to_ascii(parts.hostname or "")
        port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    except (BadInput, ValueError):
        return ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}" if host else ""
