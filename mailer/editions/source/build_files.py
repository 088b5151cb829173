"""Files of a build, as bytes, as JSON, and as links."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import orjson


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


def to_json(value: Any) -> bytes:
    """Serialize a value of strings, numbers, lists and dicts.

    Alone, orjson leaves a UTF-8 copy in each string that is not ASCII, for as long as that lives: 105 MB for 668 issues.
    """
    return orjson.dumps(_copy_strings(value))


def _copy_strings(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return {name: _copy_strings(one) for name, one in value.items()}
    return [_copy_strings(one) for one in value] if isinstance(value, list | tuple) else value
