"""The files of an archive: a folder, a ZIP file or a single file. Nothing outside of it is read, and each file has a limit."""

from __future__ import annotations

import os
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mailer.archives.posts import ImportRemark
from mailer.core.characters import printable
from mailer.core.errors import BadInput

MAX_DOCUMENT_BYTES = 200_000_000  # of one XML, JSON or CSV file
MAX_IMPORTED_PICTURE_BYTES = 25_000_000
MAX_ARCHIVE_FILES = 100_000
MAX_ARCHIVE_BYTES = 4_000_000_000  # read from one archive, decompressed
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif"}


class ArchiveContents:
    """Read an archive's files by their names, which are relative and use ``/``. ``remarks`` name what was left out.

    ``places`` are the files by their names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remarks: list[ImportRemark] = []
        self._read_bytes = 0
        self._zip: zipfile.ZipFile | None = None
        self.places: dict[str, Path | zipfile.ZipInfo] = {}
        self._pictures: dict[str, str] | None = None
        for name, place in self._list():
            if len(self.places) >= MAX_ARCHIVE_FILES:
                raise BadInput(f"{path} has more than {MAX_ARCHIVE_FILES:,} files: import it in parts.")
            self.places.setdefault(name, place)

    @property
    def names(self) -> list[str]:
        """List the names of all files, sorted."""
        return sorted(self.places)

    def read(self, name: str, limit: int = 0) -> bytes | None:
        """Return a file's content, or None with a remark if it is larger than ``limit`` bytes or cannot be read.

        Without a limit, it is a document's. Raises BadInput when the whole archive is too large.
        """
        data = self._try_to_read(name, limit or MAX_DOCUMENT_BYTES)
        if data is not None:
            self._read_bytes += len(data)
        if self._read_bytes > MAX_ARCHIVE_BYTES:
            raise BadInput(f"{self.path} has more than {MAX_ARCHIVE_BYTES // 10**9} GB of content: import it in parts.")
        return data

    def read_text(self, name: str) -> str | None:
        """Return a document as text, or None with a remark."""
        data = self.read(name)
        return None if data is None else data.decode("utf-8-sig", "replace")

    def read_head(self, name: str, size: int) -> str:
        """Return the first ``size`` bytes of a file as text, '' if it cannot be read; without a remark."""
        place = self.places[name]
        try:
            if isinstance(place, Path):
                with place.open("rb") as file:
                    return file.read(size).decode("utf-8", "replace")
            assert self._zip
            with self._zip.open(place) as file:
                return file.read(size).decode("utf-8", "replace")
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            return ""

    def find_picture(self, address: str) -> str:
        """Return the name of the picture at an address of the old site, or '': the file whose path ends like the address."""
        if self._pictures is None:
            self._pictures = {}
            for name in self.places:
                if posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES:
                    parts = name.split("/")
                    for at in range(len(parts)):
                        self._pictures.setdefault("/".join(parts[at:]).lower(), name)
        try:
            path = posixpath.normpath(unquote(urlsplit(address).path)).lstrip("/.").lower()
        except ValueError:
            return ""
        while "/" in path:
            if path in self._pictures:
                return self._pictures[path]
            path = path.partition("/")[2]
        return self._pictures.get(path, "") if "://" not in address else ""

    def _list(self) -> Iterator[tuple[str, Path | zipfile.ZipInfo]]:
        if self.path.is_dir():
            yield from self._list_folder()
        elif not self.path.is_file():
            raise BadInput(f"There is no file or folder {self.path}: give the path of the archive.")
        elif zipfile.is_zipfile(self.path):
            yield from self._list_zip()
        else:
            yield self.path.name, self.path

    def _list_folder(self) -> Iterator[tuple[str, Path]]:
        for parent, folders, names in os.walk(self.path):
            folders[:] = sorted(name for name in folders if name not in (".git", "node_modules", "_site", "public"))
            for name in [*folders, *names]:
                path = Path(parent, name)
                shown = path.relative_to(self.path).as_posix()
                if path.is_symlink():
                    self._skip(shown, "is a symbolic link")
                elif name in names and path.is_file():
                    yield shown, path

    def _list_zip(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BadInput(f"{self.path} is not a whole ZIP file ({error}): export it again.") from error
        for info in self._zip.infolist():
            name = posixpath.normpath(info.filename.replace("\\", "/"))
            if info.is_dir() or name.startswith("__MACOSX/"):
                continue
            if name.startswith(("/", "../")) or name == ".." or name[1:2] == ":" or not name.isprintable():
                self._skip(info.filename, "leads out of the archive")
            elif stat.S_ISLNK(info.external_attr >> 16):
                self._skip(info.filename, "is a symbolic link")
            elif info.flag_bits & 0x1:
                self._skip(info.filename, "is encrypted")
            else:
                yield name, info

    def _try_to_read(self, name: str, limit: int) -> bytes | None:
        place = self.places[name]
        size = place.file_size if isinstance(place, zipfile.ZipInfo) else place.stat().st_size
        if size <= limit:
            try:
                data = self._read_some(place, limit)
            except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                self._skip(name, f"cannot be read ({printable(str(error))[:80]})")
                return None
            if len(data) <= limit:
                return data
        self._skip(name, f"is larger than {limit // 1_000_000} MB")
        return None

    def _read_some(self, place: Path | zipfile.ZipInfo, limit: int) -> bytes:
        """Read at most one byte more than ``limit``, whatever size the archive declares."""
        if isinstance(place, Path):
            with place.open("rb") as file:
                return file.read(limit + 1)
        assert self._zip
        with self._zip.open(place) as file:
            return file.read(limit + 1)

    def _skip(self, name: str, why: str) -> None:
        self.remarks.append(ImportRemark(printable(name)[:200], f"This file {why}: left out."))
