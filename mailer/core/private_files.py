"""Files that only their owner may read."""

from __future__ import annotations

import os


def open_private(path: str, flags: int) -> int:
    """An ``opener`` for ``open``: a new file gets mode 0600. For files with addresses, private links or secrets."""
    return os.open(path, flags, 0o600)
