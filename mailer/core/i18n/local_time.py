"""Times as people read them, in the site's zone, which is ``TIMEZONE`` in pelicanconf.py; hours of a day in any zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

_SPANS = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60))


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


def format_after(seconds: int) -> str:
    """Format a time after a step: ``3 days``, ``12 hours``, ``at once``."""
    for name, length in _SPANS:
        if seconds and seconds % length == 0:
            number = seconds // length
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "at once"


def find_open_time(moment: datetime, hours: str, zone_name: str) -> datetime:
    """Return ``moment`` if it is within the hours, else when they next begin. Hours may span midnight."""
    if not hours:
        return moment
    start, end = (time.fromisoformat(part) for part in hours.split("-"))
    local = moment.astimezone(_read_zone(zone_name))
    now = local.time()
    is_open = start <= now < end if start < end else now >= start or now < end
    if is_open:
        return moment
    begins = local.replace(hour=start.hour, minute=start.minute, second=0, microsecond=0)
    return (begins if begins > local else begins + timedelta(days=1)).astimezone(UTC)


def _read_zone(name: str) -> tzinfo:
    """Return the time zone of a name that was checked."""
    return UTC if name == "UTC" else ZoneInfo(name)
