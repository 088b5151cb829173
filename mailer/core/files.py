"""Files that only their owner may read, and files of the program itself."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[2]  # the folder that ``mailer`` and ``api`` are imported from
_PLACES = {
    "theme": "mailer/theme",
    ".env.example": "mailer/scaffold/env.example",
    "content/pages/accessibility.md": "mailer/scaffold/accessibility.md",
    "content/pages/privacy.md": "mailer/scaffold/privacy.md",
    "hooks/post-receive": "mailer/scaffold/post-receive",
}


def open_private(path: str, flags: int) -> int:
    """An ``opener`` for ``open``: a new file gets mode 0600. For files with addresses, private links or secrets."""
    return os.open(path, flags, 0o600)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read; an existing one keeps its mode. Raises OSError."""
    with open(path, "wb", opener=open_private) as file:
        file.write(data)


def find_file(name: str) -> Path:
    """Return the path of one of our files by its name in the repository. Raises KeyError for one that the wheel lacks."""
    packaged = PACKAGES / _PLACES[name]
    return packaged if packaged.exists() else PACKAGES / name
