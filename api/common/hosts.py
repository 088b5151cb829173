"""The names that the server answers to. Any other may be a stranger's page that had its name point here (DNS rebinding)."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import Scope

from mailer.core.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def list_known_hosts(settings: Settings) -> frozenset[str]:
    """The hosts of the settings' URLs, those that the settings add, and the loopback names, which no stranger can claim."""
    own = {urlsplit(url).hostname or "" for url in (settings.api_url, settings.site_url, settings.preview_url)}
    return LOOPBACK | {host.rstrip(".") for host in own | set(settings.hosts) if host}


def get_preview_host(settings: Settings) -> str:
    """The host that shows previews and nothing else; empty if they have none of their own."""
    shared = {urlsplit(url).hostname for url in (settings.api_url, settings.site_url)}
    host = urlsplit(settings.preview_url).hostname or ""
    return "" if host in shared else host


def has_known_host(scope: Scope, known: Collection[str]) -> bool:
    """Whether the request names a host, and only known ones. Ports are ignored."""
    named = [_parse_host(value.decode("latin-1")) for name, value in scope["headers"] if name == b"host"]
    return bool(named) and all(host in known for host in named)


def _parse_host(header: str) -> str:
    match = re.fullmatch(r"\[([0-9a-f:.]+)\](?::[0-9]*)?|([a-z0-9._-]+)(?::[0-9]*)?", header.strip().lower())
    return (match[1] or match[2]).rstrip(".") if match else ""
