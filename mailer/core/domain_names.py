"""Internationalized domain names: one rule, IDNA 2008 with the mapping of UTS 46 for case and width.

Python's own codec is IDNA 2003: it writes ``straße.de`` as ``strasse.de``, which is somebody else's domain. Sockets apply that
codec to every name that isn't ASCII, so a host is converted here before it is used.
"""

from __future__ import annotations

import contextlib
from urllib.parse import SplitResult, urlsplit

import idna

from mailer.core.errors import BadInput


def to_ascii(domain: str) -> str:
    """Return a domain in lower case and ASCII, as name servers know it. Raises BadInput if IDNA 2008 refuses it."""
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise BadInput(f"The domain {domain[:100]!r} isn’t valid ({error}): correct it.") from error


def to_unicode(domain: str) -> str:
    """Return a domain as people read it; unchanged if IDNA 2008 refuses it."""
    with contextlib.suppress(idna.IDNAError):
        return idna.decode(domain)
    return domain


def to_ascii_url(url: str) -> str:
    """Return a URL with its host in ASCII. Raises BadInput if IDNA 2008 refuses the host, ValueError if it is no URL."""
    return url if url.isascii() else with_ascii_host(urlsplit(url)).geturl()


def with_ascii_host(parts: SplitResult) -> SplitResult:
    """Return the parts of a URL with its host in ASCII. Raises as ``to_ascii_url`` does."""
    credentials, at, place = parts.netloc.rpartition("@")
    host, colon, port = place.partition(":")
    return parts if place.isascii() else parts._replace(netloc=f"{credentials}{at}{to_ascii(host)}{colon}{port}")
