"""Files of a build, as bytes and as links."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def read(path: str | Path) -> bytes | None:
    """Return the content of a file, or None if it does not exist."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None


def same(path: Path, target: Path) -> None:
    """Link a second name to a file, or copy it if the file system cannot."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
