"""Previews of the sites that branches would make: uploaded by pipelines, kept in files, gone after a while.

A preview is a folder below the build folder, named so that nobody can guess it. It is on the disk of the machine that got it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailer.core import log, tokens
from mailer.core.errors import BadInput, ServiceUnavailable, TooManyRequests
from mailer.core.settings import Settings
from mailer.exchange.site_preview import PAID, SITE, unpack_preview

logger = log.get("preview")

KEPT_FOR = timedelta(days=14)
MAX_PREVIEWS = 50  # beyond it, the oldest is deleted
MAX_PREVIEWS_PER_MINUTE = 10
MAX_BRANCH_CHARS = 250
_FACTS, _RECENT, _LOCK = "preview.json", "recent.json", ".lock"
_UNFINISHED = ".new-"
_UNFINISHED_SECONDS = 3600.0


@dataclass(frozen=True)
class SitePreview:
    """A preview's address for everybody who has the link, its address with paid text, and when it is deleted."""

    url: str
    reviewer_url: str
    expires_at: datetime


@dataclass(frozen=True)
class PreviewFolders:
    """Where the files of a preview are, in the order in which to look for one."""

    folders: tuple[Path, ...]


def store_preview(settings: Settings, branch: str, packed: bytes) -> SitePreview:
    """Store the preview of a branch in place of its last one.

    Raises BadInput for what is no preview, TooManyRequests at the limit, and ServiceUnavailable if the files cannot be written.
    """
    place, preview_id = settings.previews_folder, _list_ids(settings, branch)[0]
    expires_at = datetime.now(UTC) + KEPT_FOR
    with _writing(place):
        _count_upload(place)
        fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=place))
        try:
            for path, data in unpack_preview(packed):
                (fresh / path).parent.mkdir(parents=True, exist_ok=True)
                (fresh / path).write_bytes(data)
            (fresh / _FACTS).write_text(json.dumps({"branch": branch, "expires_at": expires_at.isoformat()}), "utf-8")
            _replace(place, preview_id, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        delete_old_previews(settings)
    logger.info("preview.stored", bytes=len(packed))
    base = f"{settings.preview_url or settings.api_url}/previews/{preview_id}"
    token = tokens.preview_reading_token(settings.need_secrets(), preview_id)
    return SitePreview(f"{base}/", f"{base}.{token}/", expires_at)


def remove_preview(settings: Settings, branch: str) -> None:
    """Delete the preview of a branch, if there is one."""
    for preview_id in _list_ids(settings, branch):
        shutil.rmtree(settings.previews_folder / preview_id, ignore_errors=True)


def find_preview(settings: Settings, address: str) -> PreviewFolders | None:
    """Return where the preview at an address is; None without one, or when its time is over."""
    preview_id, _, token = address.partition(".")
    folder = settings.previews_folder / preview_id
    if not _is_id(preview_id) or not _is_kept(folder, datetime.now(UTC)):
        return None
    if not token:
        return PreviewFolders((folder / SITE,))
    is_open = tokens.opens_preview(settings.need_secrets(), token, preview_id)
    return PreviewFolders((folder / PAID, folder / SITE)) if is_open else None


def delete_old_previews(settings: Settings) -> int:
    """Delete previews whose time is over, the oldest of too many, and unfinished ones; return how many."""
    place, now = settings.previews_folder, datetime.now(UTC)
    every = [one for one in place.iterdir() if one.is_dir()] if place.is_dir() else []
    unfinished = [one for one in every if one.name.startswith(_UNFINISHED)]
    stored = sorted((one for one in every if _is_id(one.name)), key=_read_end, reverse=True)
    old = [one for number, one in enumerate(stored) if number >= MAX_PREVIEWS or not _is_kept(one, now)]
    old += [one for one in unfinished if time.time() - one.stat().st_mtime > _UNFINISHED_SECONDS]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def _list_ids(settings: Settings, branch: str) -> tuple[str, ...]:
    if not branch.strip() or len(branch) > MAX_BRANCH_CHARS:
        raise BadInput(f"The branch needs a name of at most {MAX_BRANCH_CHARS} characters.")
    return tokens.preview_ids(settings.need_secrets(), branch)


def _is_id(name: str) -> bool:
    return len(name) == tokens.PREVIEW_ID_CHARS and name.replace("-", "").replace("_", "").isalnum() and name.isascii()


def _read_end(folder: Path) -> datetime:
    try:
        return datetime.fromisoformat(json.loads((folder / _FACTS).read_text("utf-8"))["expires_at"])
    except (OSError, ValueError, KeyError):
        return datetime.min.replace(tzinfo=UTC)


def _is_kept(folder: Path, now: datetime) -> bool:
    return now < _read_end(folder)


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Let one process at a time write previews. Raises ServiceUnavailable if it may not."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ServiceUnavailable(
            f"The server cannot write previews ({error.strerror}): make the folder `previews` below POSTMERGE_BUILD writable."
        ) from error


def _count_upload(place: Path) -> None:
    try:
        recent = [float(one) for one in json.loads((place / _RECENT).read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        recent = []
    now = time.time()
    recent = [one for one in recent if 0 <= now - one < 60]
    if len(recent) >= MAX_PREVIEWS_PER_MINUTE:
        raise TooManyRequests(f"{len(recent)} previews were uploaded within a minute: try again in a minute.")
    (place / _RECENT).write_text(json.dumps([*recent, now]), "utf-8")


def _replace(place: Path, preview_id: str, fresh: Path) -> None:
    """Put a preview in place of the last one, so that it is missing for a moment only."""
    target, former = place / preview_id, fresh.with_name(f"{fresh.name}.old")
    if target.exists():
        target.rename(former)
    fresh.rename(target)
    shutil.rmtree(former, ignore_errors=True)
