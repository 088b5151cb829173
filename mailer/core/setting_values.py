"""Environment files, whose values are used as written, and the values of settings.

Each ``read_…`` function of a value raises BadInput that names the variable.
"""

from __future__ import annotations

import io
import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from mailer.core import domain_names
from mailer.core.characters import parse_sender
from mailer.core.errors import BadInput

TRANSPORT_GROUP = "postmerge.transports"  # of entry points; each is called with the settings and returns a transport
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ON = ("on", "1", "true", "yes")
_OFF = ("off", "0", "false", "no")
# A sender whose name is quoted, as in email headers; the parser would take the first pair of quotes for the whole value's.
_QUOTED_NAME = re.compile(r'\s*(?:export\s+)?(?P<key>[A-Z_]+)\s*=\s*(?P<value>"[^"\n]*"\s*<[^<>\s]+>)\s*')


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of an environment file as written, without substitution.

    Raises BadInput for a file or a line that cannot be read.
    """
    try:
        lines = parse_stream(io.StringIO(path.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text in UTF-8 ({error}): correct the file or its rights.") from error
    return dict(pair for line in lines if (pair := _pair(path, line)))


def quote_env_value(text: str) -> str:
    """Return a value as ``read_env_file`` reads it back, in single quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _pair(path: Path, line: Binding) -> tuple[str, str] | None:
    if not line.error:
        return (line.key, line.value or "") if line.key else None
    quoted = _QUOTED_NAME.fullmatch(line.original.string)
    if not quoted:
        raise BadInput(
            f"{path}:{line.original.line} cannot be read: write NAME=value, a value with quotes or # in it in single quotes."
        )
    return quoted["key"], quoted["value"]


def read_choice(given: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    """Read one of the allowed words, in any case."""
    value = given.get(name, default).lower()
    if value not in allowed:
        raise BadInput(f"{name} is {value!r}: set it to one of {', '.join(allowed)}.")
    return value


def read_switch(given: Mapping[str, str], name: str, default: bool) -> bool:
    """Read an on/off setting, in any of the words that environment files use for it."""
    value = given.get(name, "on" if default else "off")
    if is_off(value):
        return False
    if value.lower() not in _ON:
        raise BadInput(f"{name} is {value!r}: set it to on or off (1, true and yes, or 0, false and no, work too).")
    return True


def is_off(value: str) -> bool:
    """Return whether a value is a word for off."""
    return value.lower() in _OFF


def read_transport(given: Mapping[str, str], default: str) -> str:
    """Read the name of a transport: ours, or one that an installed package brings as an entry point."""
    known: tuple[str, ...] = ("outbox", "ses")
    if given.get("POSTMERGE_TRANSPORT", default).lower() not in known:
        known = tuple(dict.fromkeys((*known, *sorted(one.name for one in entry_points(group=TRANSPORT_GROUP)))))
    return read_choice(given, "POSTMERGE_TRANSPORT", known, default)


def read_url(given: Mapping[str, str], name: str, default: str) -> str:
    """Read a URL, as browsers send it; without a slash at its end."""
    value = given.get(name, default).rstrip("/")
    if value and not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", value):
        raise BadInput(f"{name} is {value!r}: give a whole address such as https://news.example.org.")
    return _ascii_url(name, value)


def _ascii_url(name: str, url: str) -> str:
    """Return a URL as browsers and programs send it, so that it can be compared with theirs."""
    try:
        return domain_names.to_ascii_url(url)
    except (BadInput, ValueError) as error:
        raise BadInput(f"{name} is {url!r}, which has no valid host: correct it.") from error


def read_sender(given: Mapping[str, str], name: str) -> str:
    """Read an address with or without a name."""
    value = given.get(name, "")
    if value:
        try:
            parse_sender(value)
        except BadInput as error:
            raise BadInput(f"{name} is {value!r}: write it as Name <address@your.domain>.") from error
    return value


def read_addresses(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read addresses separated by commas."""
    found = tuple(filter(None, (word.strip() for word in given.get(name, "").split(","))))
    for one in found:
        if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", one):
            raise BadInput(f"{name} contains {one!r}: give plain addresses, separated by commas, such as me@example.org.")
    return found


def read_duration(given: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    """Read a number with s, m, h or d; seconds without a unit."""
    if name not in given:
        return default
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", given[name].lower())
    if not match:
        raise BadInput(f"{name} is {given[name]!r}: give a number with s, m, h or d, such as 10m.")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "s"])


def choose_dns_default(given: Mapping[str, str]) -> bool:
    """Return whether domains are looked up: where real email is sent."""
    return given.get("POSTMERGE_TRANSPORT", "").lower() not in ("", "outbox")


def read_words(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read words separated by commas, in lower case."""
    return tuple(dict.fromkeys(word.strip().lower() for word in given.get(name, "").split(",") if word.strip()))


def read_percent(given: Mapping[str, str], name: str, default: float) -> float:
    """Read a percentage above 0 and up to 100."""
    value = given.get(name, str(default)).rstrip("% ")
    if not re.fullmatch(r"\d+(\.\d+)?", value) or not 0 < float(value) <= 100:
        raise BadInput(f"{name} is {given.get(name)!r}: give a percentage above 0 and up to 100, such as 1%.")
    return float(value)


def read_count(given: Mapping[str, str], name: str, default: int, most: int = 1000) -> int:
    """Read a whole number from 1 to ``most``."""
    value = given.get(name, str(default))
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise BadInput(f"{name} is {value!r}: give a whole number from 1 to {most}.")
    return int(value)


def read_challenge(given: Mapping[str, str], default: str) -> str:
    """Read the form's challenge, and require what it needs."""
    kind = read_choice(given, "POSTMERGE_CHALLENGE", ("off", "work", "hook"), default)
    needed = [f"POSTMERGE_CHALLENGE_{part}" for part in ("VERIFY_URL", "SECRET", "SITE_KEY", "SCRIPT")]
    if kind == "hook" and (missing := [name for name in needed if name not in given]):
        raise BadInput(f"POSTMERGE_CHALLENGE is hook: set {', '.join(missing)} too.")
    return kind


def read_networks(given: Mapping[str, str], name: str) -> str:
    """Read networks separated by commas."""
    value = given.get(name, "")
    for part in filter(None, (one.strip() for one in value.split(","))):
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            raise BadInput(f"{name} holds {part!r}: give networks such as 10.0.0.0/8, separated by commas.") from error
    return value


def read_origins(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read origins separated by commas."""
    for origin in (found := read_words(given, name)):
        if not re.fullmatch(r"https?://[^\s/?#@]+", origin):
            raise BadInput(f"{name} contains {origin!r}: list origins such as https://www.example.org, separated by commas.")
    return tuple(_ascii_url(name, origin) for origin in found)


def read_address(given: Mapping[str, str], name: str) -> str:
    """Read a plain address that is short enough for the name of an unsubscribe link."""
    value = given.get(name, "")
    if not value.isascii():
        user, at, domain = value.rpartition("@")
        value = f"{user}{at}{domain_names.to_ascii(domain)}"
    if value and not re.fullmatch(r"[A-Za-z0-9._-]{1,20}@[A-Za-z0-9.-]+", value):
        raise BadInput(
            f"{name} is {value!r}: give a plain address of at most 20 characters before the @, such as leave@example.org."
        )
    return value


def read_repository(given: Mapping[str, str], name: str) -> str:
    """Read a repository: the absolute path of a bare one, or its address at GitHub."""
    value = given.get(name, "").removesuffix("/")
    at_github = re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+?(\.git)?", value)
    if value and not value.startswith("/") and not at_github:
        raise BadInput(f"{name} is {value!r}: give the path of a bare repository, or https://github.com/OWNER/REPOSITORY.")
    return value.removesuffix(".git") if at_github else value
