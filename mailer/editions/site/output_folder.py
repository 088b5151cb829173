"""The folder of the site as readers have it, and of the one to be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Spare:
    """Emptied folders of a former site: where there are hundreds, file systems move one much faster than they make one."""

    def __init__(self, folder: Path) -> None:
        _empty(folder)
        self._left = [path for path, _, _ in os.walk(folder, topdown=False)][:-1]
        self._left.reverse()  # so that the innermost is taken first

    def make(self, path: str) -> None:
        """Make the folder, unless it is there."""
        if os.path.isdir(path):
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if self._left:
            os.rename(self._left.pop(), path)
        else:
            os.mkdir(path)


@contextmanager
def replacing(site: Path) -> Iterator[tuple[Path, Spare]]:
    """A new folder that takes the site's place when the block ends well; else the site stays what it is."""
    fresh, old = (site.with_name(f".{site.name}.{name}") for name in ("next", "old"))
    shutil.rmtree(fresh, ignore_errors=True)  # left by a build that was killed
    old.mkdir(parents=True, exist_ok=True)
    fresh.mkdir()
    try:
        yield fresh, Spare(old)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(old)
    if site.exists():
        site.rename(old)
        fresh.rename(site)
        _empty(old)
    else:
        fresh.rename(site)


def _empty(folder: str | Path) -> None:
    """Remove all files below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.path)
            else:
                os.unlink(entry.path)
