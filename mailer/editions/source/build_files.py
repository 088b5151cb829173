"""Files of a build, as bytes and as names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def read(path: str | Path) -> bytes | None:
    """What is in a file, or None when there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None


def same(path: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system cannot do that."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
