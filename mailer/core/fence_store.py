"""Where the fence's outside half and the restore journal are: in a folder, in Redis, or in S3 (``transports/s3_fence.py``).

The place must persist and must not be part of Postgres' backups.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mailer.core.errors import Unavailable

Change = Callable[[bytes | None], bytes | None]  # from the present content to the next; None: leave it as it is


class FenceStore(Protocol):
    """A few small named contents. Every method raises Unavailable if the place cannot be read or written."""

    name: str  # for people; without passwords

    def read(self, key: str) -> bytes | None:
        """Return the content, or None."""

    def update(self, key: str, change: Change) -> None:
        """Replace the content durably and in one step; of simultaneous updates, each sees the one before it."""

    def list_keys(self, prefix: str) -> list[str]:
        """Return the names that begin so, sorted."""


class FolderStore:
    """Files in a folder that all processes of a machine share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)

    def read(self, key: str) -> bytes | None:
        """Return the file's content, or None if it is missing or unreadable."""
        try:
            return (self._folder / key).read_bytes()
        except OSError:
            return None

    def update(self, key: str, change: Change) -> None:
        """Replace the file, so that it is complete even after a power cut."""
        file = self._folder / key
        with self._explaining(file):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if (content := change(self.read(key))) is not None:
                    _write_atomically(file, content)

    def list_keys(self, prefix: str) -> list[str]:
        """Return the names of files that begin so."""
        return sorted(file.name for file in self._folder.glob(f"{prefix}*"))

    @contextmanager
    def _explaining(self, file: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"The fence file {file} cannot be written ({error.strerror}): set POSTMERGE_FENCE to a persistent, writable"
                " folder."
            ) from error


class RedisStore:
    """Keys in Redis or Valkey, which must keep its data: the one for wake-ups may lose everything."""

    def __init__(self, url: str) -> None:
        import redis

        self._client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
        self.name = f"redis://{self._client.connection_pool.connection_kwargs.get('host', 'socket')}"

    def read(self, key: str) -> bytes | None:
        """Return the key's value, or None."""
        with self._explaining():
            found: bytes | None = self._client.get(_redis_key(key))  # type: ignore[assignment]
            return found

    def update(self, key: str, change: Change) -> None:
        """Replace the key's value unless another client was faster; then try again."""

        def swap(pipe: object) -> None:
            content = change(pipe.get(_redis_key(key)))  # type: ignore[attr-defined]
            pipe.multi()  # type: ignore[attr-defined]
            if content is not None:
                pipe.set(_redis_key(key), content)  # type: ignore[attr-defined]

        with self._explaining():
            self._client.transaction(swap, _redis_key(key))

    def list_keys(self, prefix: str) -> list[str]:
        """Return the names of keys that begin so."""
        with self._explaining():
            found = self._client.scan_iter(match=_redis_key(prefix) + "*", count=1000)
            return sorted(key.decode().removeprefix(_redis_key("")) for key in found)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        import redis

        try:
            yield
        except redis.RedisError as error:
            raise Unavailable(
                f"The fence's half in {self.name} cannot be reached ({type(error).__name__}): check POSTMERGE_FENCE."
            ) from error


def read_epoch(store: FenceStore, ledger: str) -> int | None:
    """Return the epoch that was written, or None if it is missing or unreadable."""
    return _parse_epoch(store.read(_epoch_key(ledger)))


def write_epoch(store: FenceStore, ledger: str, epoch: int) -> None:
    """Write the epoch, durably, unless there is a higher one. Raises Unavailable."""
    content = json.dumps({"ledger": ledger, "epoch": epoch}).encode() + b"\n"
    store.update(_epoch_key(ledger), lambda now: content if (_parse_epoch(now) or 0) < epoch else None)


def _epoch_key(ledger: str) -> str:
    return f"{ledger}.json"


def _redis_key(key: str) -> str:
    return f"postmerge:fence:{key}"


def _parse_epoch(content: bytes | None) -> int | None:
    try:
        return int(json.loads(content or b"")["epoch"])
    except (ValueError, KeyError, TypeError):
        return None


def _write_atomically(file: Path, content: bytes) -> None:
    next_file = file.with_suffix(".next")
    with next_file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.replace(next_file, file)
