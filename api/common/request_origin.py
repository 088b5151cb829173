"""Which site a form was posted from, as the browser reports it."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from mailer.core.settings import Settings


def is_cross_site(request: Request, settings: Settings) -> bool:
    """Whether a page of a site that is not ours or listed in POSTMERGE_FORM_ORIGINS made the browser post this.

    Programs that send neither Sec-Fetch-Site nor Origin are not browsers, so nobody else's page controls them.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "").lower()
    if site in ("same-origin", "none") or not (site or origin):
        return False
    if origin in {_origin(settings.site_url), _origin(settings.api_url), *settings.form_origins} - {""}:
        return False
    return site is not None or urlsplit(origin).netloc != request.headers.get("host", "").lower()


def _origin(url: str) -> str:
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
