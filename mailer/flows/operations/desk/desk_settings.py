"""The settings in force, with secrets hidden."""

from __future__ import annotations

import re
from dataclasses import fields
from urllib.parse import urlsplit

from mailer.core.settings import Settings

_SECRET = re.compile(r"secret|key|dsn|password|token|notify")
_PUBLIC = ("challenge_site_key",)


def list_settings(settings: Settings) -> list[tuple[str, str]]:
    """Return each setting's name and value for people; a secret only as whether it is set."""
    return [(field.name, _show(field.name, getattr(settings, field.name))) for field in fields(settings)]


def _show(name: str, value: object) -> str:
    if _SECRET.search(name) and name not in _PUBLIC:
        return "set, hidden" if value else "not set"
    if name.endswith("_url") or name in ("fence", "stripe_base"):
        return _hide_password(str(value))
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _hide_password(url: str) -> str:
    """Return a URL without its password and its query, which may contain one."""
    parts = urlsplit(url)
    if parts.password:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{parts.username}:hidden@{host}")
    return parts._replace(query="hidden" if parts.query else "").geturl()
