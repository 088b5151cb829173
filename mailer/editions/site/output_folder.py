"""The folder of the public site, and of the one that will replace it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Spare:
    """Emptied folders of a former site: file systems move hundreds of folders much faster than they create them.

    ``site`` is the site of the last build.
    """

    def __init__(self, folder: Path, site: Path) -> None:
        self.site = site
        _empty(folder)
        self._left = [path for path, _, _ in os.walk(folder, topdown=False)][:-1]
        self._left.reverse()  # so that the innermost is used first

    def make(self, path: str) -> None:
        """Create the folder, unless it exists."""
        if os.path.isdir(path):
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if self._left:
            os.rename(self._left.pop(), path)
        else:
            os.mkdir(path)


@contextmanager
def replacing(site: Path) -> Iterator[tuple[Path, Spare]]:
    """Yield a new folder that replaces the site if the block succeeds; otherwise the site stays as it is."""
    fresh, old = (site.with_name(f".{site.name}.{name}") for name in ("next", "old"))
    shutil.rmtree(fresh, ignore_errors=True)  # left behind by a killed build
    old.mkdir(parents=True, exist_ok=True)
    fresh.mkdir()
    try:
        yield fresh, Spare(old, site)
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
