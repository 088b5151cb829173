"""Where backups are: a folder, or a prefix in an S3 bucket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mailer.core.errors import Unavailable
from mailer.transports.s3_prefix import S3Prefix


class BackupPlace(Protocol):
    """A place for files. Methods raise Unavailable if it cannot be reached."""

    def store(self, file: Path, name: str) -> None:
        """Store a complete file under this name, in one step."""

    def fetch(self, name: str, file: Path) -> None:
        """Write the content of this name to a file."""

    def list_names(self) -> list[str]:
        """Return all names, sorted."""

    def delete(self, name: str) -> None:
        """Delete a file."""


def open_backup_place(place: str) -> BackupPlace:
    """Return the place: a folder, or ``s3://BUCKET/PREFIX``."""
    return S3Place(place) if place.startswith("s3://") else FolderPlace(Path(place))


class FolderPlace:
    """A folder that only its owner may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, file: Path, name: str) -> None:
        """Copy the file, then give it its name."""
        with _explaining(str(self._folder), OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = self._folder / f".{name}.part"
            shutil.copyfile(file, unfinished)
            unfinished.chmod(0o600)
            with unfinished.open("rb") as copy:
                os.fsync(copy.fileno())
            os.replace(unfinished, self._folder / name)

    def fetch(self, name: str, file: Path) -> None:
        """Copy the file."""
        with _explaining(str(self._folder / name), OSError):
            shutil.copyfile(self._folder / name, file)

    def list_names(self) -> list[str]:
        """Return the names of all files."""
        return sorted(file.name for file in self._folder.iterdir()) if self._folder.is_dir() else []

    def delete(self, name: str) -> None:
        """Delete a file."""
        (self._folder / name).unlink(missing_ok=True)


class S3Place:
    """Objects in a bucket, uploaded in parts."""

    def __init__(self, url: str) -> None:
        self._objects = S3Prefix(url, connect_timeout=10, read_timeout=60)

    def store(self, file: Path, name: str) -> None:
        """Upload the file."""
        with self._explaining():
            self._objects.client.upload_file(str(file), self._objects.bucket, self._objects.path(name))

    def fetch(self, name: str, file: Path) -> None:
        """Download the object."""
        with self._explaining():
            self._objects.client.download_file(self._objects.bucket, self._objects.path(name), str(file))

    def list_names(self) -> list[str]:
        """Return the names of all objects."""
        with self._explaining():
            return self._objects.list_names()

    def delete(self, name: str) -> None:
        """Delete the object."""
        with self._explaining():
            self._objects.client.delete_object(Bucket=self._objects.bucket, Key=self._objects.path(name))

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        with _explaining(self._objects.name, BotoCoreError, ClientError, Boto3Error):
            yield


@contextmanager
def _explaining(place: str, *kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise Unavailable(f"The place for backups, {place}, cannot be used: {error}.") from error
