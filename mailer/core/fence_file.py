"""The fence file: one small file for each ledger, in a folder that Postgres backups do not include."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from mailer.core.errors import Unavailable


def read_epoch(folder: Path, ledger: str) -> int | None:
    """Return the epoch in the file, or None if the file is missing or unreadable."""
    try:
        return int(json.loads(fence_file_path(folder, ledger).read_text(encoding="utf-8"))["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_epoch(folder: Path, ledger: str, epoch: int) -> None:
    """Write the epoch, durably, unless the file has a higher one. Raises Unavailable."""
    file = fence_file_path(folder, ledger)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (read_epoch(folder, ledger) or 0) < epoch:
                _write_atomically(file, json.dumps({"ledger": ledger, "epoch": epoch}) + "\n")
    except OSError as error:
        raise Unavailable(
            f"The fence file {file} cannot be written ({error.strerror}): set POSTMERGE_FENCE to a persistent, writable folder."
        ) from error


def fence_file_path(folder: Path, ledger: str) -> Path:
    """The path of a ledger's fence file."""
    return folder / f"{ledger}.json"


def _write_atomically(file: Path, text: str) -> None:
    """Replace the file in one step, so that it is complete even after a power cut."""
    next_file = file.with_suffix(".next")
    with next_file.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(next_file, file)
