"""Times as people read them: in the site's zone, which is ``TIMEZONE`` in pelicanconf.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo


def _find_no_zone() -> str:
    return "UTC"


_find_zone: Callable[[], str] = _find_no_zone


def use_zone(find: Callable[[], str] = _find_no_zone) -> None:
    """Set what finds the name of the zone. It is called when the first time is shown."""
    global _find_zone
    _find_zone = find
    zone.cache_clear()


@cache
def zone() -> ZoneInfo:
    """Return the site's zone."""
    return ZoneInfo(_find_zone())


def to_local(when: datetime) -> datetime:
    """Return a moment in the site's zone."""
    return when.astimezone(zone())


def moment(when: datetime, form: str = "%d %b %Y, %H:%M") -> str:
    """Format a moment in the site's zone, followed by the zone's name, in English."""
    return f"{to_local(when):{form} %Z}"
