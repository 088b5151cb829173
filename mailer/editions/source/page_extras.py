"""What an issue's front matter says beside its text: former slugs, a recording, a correction."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from mailer.core.errors import BadInput
from mailer.editions.source.field_rules import is_long
from mailer.editions.source.front_matter import Source, date

_TYPES = {".mp3": "audio/mpeg", ".m4a": "audio/x-m4a", ".ogg": "audio/ogg", ".opus": "audio/ogg"}


@dataclass(frozen=True)
class Audio:
    """A recording: its address, its size in bytes, its media type, its length in seconds (0: unknown)."""

    url: str
    size: int
    type: str
    seconds: int

    @property
    def clock(self) -> str:
        """Format the length as ``H:MM:SS``."""
        return f"{self.seconds // 3600}:{self.seconds // 60 % 60:02}:{self.seconds % 60:02}"


@dataclass(frozen=True)
class Correction:
    """An issue was corrected after publication; ``note`` says what, and may be empty."""

    at: datetime
    note: str


@dataclass(frozen=True)
class Extras:
    """``names`` are the former slugs of the issue, oldest first; ``summary`` is the sentence for lists and feeds, if any.

    ``places`` are the files of the site, such as ``p/old/index.html``, for those that were given as an address.
    """

    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    fixed: bool = False
    audio: Audio | None = None
    corrected: Correction | None = None
    summary: str = ""

    def lasting(self, key: str) -> str:
        """Return the key by which feed readers know the issue: ``Id:``, else its first slug, else its key."""
        return key if self.fixed or not self.names else self.names[0]


def read(source: Source, fields: Mapping[str, str], root: Path, site_url: str, zone: str = "UTC") -> Extras:
    """Read the extras of an issue; what is invalid is reported as a warning of the source."""
    return Extras(
        _names(source, fields.get("formerly", "")),
        tuple(filter(None, (place_of(one, site_url) for one in fields.get("formerly", "").split(",")))),
        bool(fields.get("id", "").strip()),
        _audio(source, fields, root, site_url),
        _correction(source, fields, zone),
        source.fields.get("summary", "").strip(),
    )


def find_image(fields: Mapping[str, object], site_url: str, otherwise: str) -> str:
    """Return the address of an issue's picture: the file or address of `Image:`, else ``otherwise``."""
    target = " ".join(str(fields.get("image") or "").split())
    if not target or target.startswith(("https://", "http://")):
        return target or otherwise
    return f"{site_url}/{quote(target.removeprefix('{static}').lstrip('/'))}"


def find_cover(fields: Mapping[str, object], page: Path, root: Path) -> Path | None:
    """Return the file that an issue's `Cover:` names, from the content folder or from the issue's file ``page`` on.

    Raises BadInput if it names none.
    """
    target = " ".join(str(fields.get("cover") or "").split())
    name = unquote(target.removeprefix("{static}").lstrip("/"))
    for base in (root, page.parent) if name and "\0" not in name and not is_long(Path(name).name) else ():
        path = (base / name).resolve()
        if path.is_file() and path.is_relative_to(root.resolve()):
            return path
    if not target:
        return None
    how = f"put it into {root.name}/images/ and write `Cover: images/name.jpg`"
    raise BadInput(f"`Cover: {target[:60]}` is not a file: {how}.")


def _names(source: Source, text: str) -> tuple[str, ...]:
    names = list(filter(None, (former(name) for name in text.split(","))))
    for name in filter(is_long, names):
        source.warning(
            source.lines.get("formerly", 1), f"`Formerly: {name[:40]}…` is too long for an address: remove that name."
        )
    return tuple(name for name in names if not is_long(name))


def former(text: str) -> str:
    """Return the slug in a former name, which may be a slug, a file's name or a whole address."""
    last = text.strip().rstrip("/").rpartition("/")[2]
    return re.sub(r"[\\?#%\s]+|\.\.+", "-", re.sub(r"\.(md|markdown|mkd|mdown|rst|html)$", "", last))


def place_of(address: str, site_url: str) -> str:
    """Return the file that answers at a former address, as a path in the site; '' for a name, and for what no file can be."""
    try:
        path = unquote(urlsplit(address.strip()).path)
        base = urlsplit(site_url).path.rstrip("/")
    except ValueError:
        return ""
    path = path.removeprefix(base) if path.startswith(f"{base}/") else path
    parts = [part for part in path.split("/") if part]
    if "/" not in path.rstrip("/") or any(part in (".", "..") or is_long(part) or not part.isprintable() for part in parts):
        return ""
    return "/".join(parts if parts and re.search(r"\.html?$", parts[-1]) else [*parts, "index.html"]) if parts else ""


def _correction(source: Source, fields: Mapping[str, str], zone: str) -> Correction | None:
    text = fields.get("corrected", "").strip()
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d(?: \d\d:\d\d)?)(?:[:,.]?\s+(.*))?", text)
    at = date(Source(source.path), match[1], zone) if match else None
    if at and match:
        return Correction(at, match[2] or "")
    if text:
        how = "write the date, then optionally what was wrong: `Corrected: 2026-11-25 The table had last year's figures.`"
        source.warning(source.lines.get("corrected", 1), f"`Corrected: {text[:60]}` is not valid: {how}")
    return None


def _audio(source: Source, fields: Mapping[str, str], root: Path, site_url: str) -> Audio | None:
    target = fields.get("audio", "").strip()
    if not target:
        return None
    seconds = _seconds(source, fields.get("audio-duration", ""))
    suffix = Path(target.partition("?")[0]).suffix.lower()
    kind = _TYPES.get(suffix) or mimetypes.guess_type(target)[0] or "audio/mpeg"
    if target.startswith(("https://", "http://")):
        size = fields.get("audio-size", "").replace("_", "").strip()
        if not re.fullmatch(r"[0-9]{1,15}", size):
            return _none(source, "A recording on another server needs its size in bytes: add `Audio-Size: 12345678`.")
        return Audio(target, int(size), kind, seconds)
    name = target.removeprefix("{static}").lstrip("/")
    path = (root / name).resolve() if not is_long(Path(name).name) else root
    if not path.is_file() or not path.is_relative_to(root):
        return _none(
            source,
            f"`Audio: {target[:60]}` is not a file: put it into {root.name}/audio/ and write `Audio: audio/name.mp3`.",
        )
    return Audio(f"{site_url}/{name}", path.stat().st_size, kind, seconds)


def _seconds(source: Source, text: str) -> int:
    match = re.fullmatch(r"(?:([0-9]{1,3}):)?([0-9]{1,3}):([0-9]{2})", text.strip())
    if match:
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + int(match[3])
    _none(source, "`Audio:` needs its length: add `Audio-Duration: 32:10`.")
    return 0


def _none(source: Source, message: str) -> Audio | None:
    """Report a warning; there is no recording."""
    source.warning(source.lines.get("audio", 1), message)
    return None
