"""The fence's half outside the database: one small file for each ledger, in a folder that backups of Postgres do not touch."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from mailer.core.errors import Unavailable


def read(folder: Path, ledger: str) -> int | None:
    """The epoch that is written outside, or None when there is none (or the file cannot be read as one)."""
    try:
        return int(json.loads(path(folder, ledger).read_text(encoding="utf-8"))["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(folder: Path, ledger: str, epoch: int) -> None:
    """Write the epoch unless a higher one stands there; on disk when this returns. Raises Unavailable."""
    file = path(folder, ledger)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (read(folder, ledger) or 0) < epoch:
                _put(file, json.dumps({"ledger": ledger, "epoch": epoch}) + "\n")
    except OSError as error:
        raise Unavailable(
            f"The fence's file {file} cannot be written ({error.strerror}): set POSTMERGE_FENCE to a folder that stays."
        ) from error


def path(folder: Path, ledger: str) -> Path:
    """The file of a ledger."""
    return folder / f"{ledger}.json"


def _put(file: Path, text: str) -> None:
    """Whole or not at all, also after a power cut."""
    fresh = file.with_suffix(".next")
    with fresh.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(fresh, file)
