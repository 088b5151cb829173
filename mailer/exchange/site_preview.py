"""The preview of a site as one file: a gzipped tar archive of ``site`` (its public files) and ``paid`` (pages with paid text).

Whoever holds an API key can upload one, so reading it is bounded: in bytes, in files, and to paths below those two folders.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from mailer.core.errors import BadInput

MAX_PREVIEW_BYTES = 32 << 20  # packed
MAX_UNPACKED_PREVIEW_BYTES = 128 << 20  # with the headers of the archive
MAX_PREVIEW_FILES = 10_000
MAX_PREVIEW_PATH_CHARS = 300
MAX_PREVIEW_NAME_BYTES = 200  # of a file or folder
SITE, PAID = "site", "paid"
# The kinds of file that a preview shows. Scripts are none of them.
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "text/xml; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".mp4": "video/mp4",
    ".pdf": "application/pdf",
}
_UNPACKED_MB = MAX_UNPACKED_PREVIEW_BYTES >> 20
_TOO_LARGE = f"The preview is too large: it may have at most {MAX_PREVIEW_FILES:,} files, and {_UNPACKED_MB} MB in all."
_UNREADABLE = "This is no preview, or a part of one: let `postmerge publish --preview` upload it again."


def pack_preview(files: Mapping[str, bytes]) -> bytes:
    """Pack files by their paths: the same bytes for the same files. Raises BadInput if the result is too large."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w|") as archive:
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size = len(files[path])
            archive.addfile(entry, io.BytesIO(files[path]))
    packed = made.getvalue()
    if len(packed) > MAX_PREVIEW_BYTES or len(files) > MAX_PREVIEW_FILES:
        raise BadInput(
            f"The preview has {len(files):,} files of {len(packed) / (1 << 20):.0f} MB: at most {MAX_PREVIEW_FILES:,} files of"
            f" {MAX_PREVIEW_BYTES >> 20} MB, packed, can be uploaded."
        )
    return packed


def unpack_preview(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file, in the archive's order. Raises BadInput for what is no preview."""
    seen: set[str] = set()
    unzipped = _BoundedFile(gzip.GzipFile(fileobj=io.BytesIO(packed)))
    try:
        with tarfile.open(fileobj=unzipped, mode="r|") as archive:  # type: ignore[call-overload]
            for number, entry in enumerate(archive, start=1):
                if number > MAX_PREVIEW_FILES:
                    raise BadInput(_TOO_LARGE)
                _check_entry(entry, seen)
                file = archive.extractfile(entry)
                yield entry.name, file.read() if file else b""
        if not seen:
            raise BadInput(_UNREADABLE)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise BadInput(_UNREADABLE) from error


def _check_entry(entry: tarfile.TarInfo, seen: set[str]) -> None:
    path, shown = entry.name, entry.name[:100]
    parts = path.split("/")
    if not entry.isreg() or entry.issparse():
        raise BadInput(f"{shown!r} in the preview is no plain file: only plain files can be shown.")
    if (
        any(part in ("", ".", "..") or len(part.encode()) > MAX_PREVIEW_NAME_BYTES for part in parts)
        or parts[0] not in (SITE, PAID)
        or len(parts) < 2
        or len(path) > MAX_PREVIEW_PATH_CHARS
        or re.search(r"[\x00-\x1f\x7f\\]", path)
    ):
        raise BadInput(f"{shown!r} is no path in a preview: it leads out of the site, or is too long.")
    if (kind := PurePosixPath(path).suffix.lower()) not in MEDIA_TYPES:
        raise BadInput(
            f"{shown!r} in the preview is of a kind that is not shown ({kind or 'none'}): scripts, for example, are not."
        )
    folders = {"/".join(parts[:number]) for number in range(1, len(parts))}
    if path in seen or path + "/" in seen or folders & seen:
        raise BadInput(f"{shown!r} is twice in the preview: let `postmerge publish --preview` upload it again.")
    seen |= {path, *(folder + "/" for folder in folders)}


class _BoundedFile:
    """A file that ends with an error after ``MAX_UNPACKED_PREVIEW_BYTES``."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self._left = file, MAX_UNPACKED_PREVIEW_BYTES

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise BadInput(_TOO_LARGE)
        return data
