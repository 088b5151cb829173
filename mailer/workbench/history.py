"""What git knows: which files a change touches, and the content as it was before. Runs the ``git`` command."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.core.errors import BadInput


class History:
    """The repository that holds a content folder. Raises BadInput when there is none."""

    def __init__(self, content: Path) -> None:
        if not content.is_dir():
            raise BadInput(f"There is no content folder {content}: run `postmerge init` to start a newsletter here.")
        self._content = content.resolve()
        self.root = Path(_git(self._content, "rev-parse", "--show-toplevel").strip()).resolve()

    def find_commit(self) -> str:
        """The commit that the content is at; empty if something in it is not committed, or if there is no commit yet."""
        try:
            dirty = _git(self.root, "status", "--porcelain", "--", str(self._content))
            return "" if dirty else _git(self.root, "rev-parse", "HEAD").strip()
        except BadInput:
            return ""

    def find_branch(self) -> str:
        """The branch that is checked out; empty if none is, as on most runners of pipelines."""
        return _git(self.root, "branch", "--show-current").strip()

    def fork(self, ref: str) -> str:
        """The commit at which the work began, seen from ``ref``. Raises BadInput for a name that git does not know."""
        if ref.startswith("-"):
            raise BadInput(f"{ref!r} is not a commit: give a branch, as in `--base origin/main`.")
        try:
            return _git(self.root, "merge-base", ref, "HEAD").strip()
        except BadInput as error:
            raise BadInput(f"git does not know {ref!r}, or has not fetched it: fetch it, or give another `--base`.") from error

    def changed(self, commit: str) -> tuple[list[Path], list[Path]]:
        """Files of the content that are new or changed since a commit, and those that are gone."""
        return self._names(commit, "d"), self._names(commit, "D")

    @contextmanager
    def content_at(self, commit: str) -> Iterator[Path]:
        """The content folder as it was, for as long as the block lasts."""
        inside = self._content.relative_to(self.root)
        with tempfile.TemporaryDirectory(prefix="postmerge-") as folder:
            data = _bytes(self.root, "archive", "--format=tar", commit, "--", str(inside))
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                archive.extractall(folder, filter="data")
            yield Path(folder) / inside

    def _names(self, commit: str, kind: str) -> list[Path]:
        words = ("diff", "--name-only", "-z", "--no-renames", f"--diff-filter={kind}", commit, "--", str(self._content))
        tracked = _git(self.root, *words).split("\0")
        extra = _git(self.root, "ls-files", "-z", "--others", "--exclude-standard", "--", str(self._content)).split("\0")
        return [self.root / name for name in dict.fromkeys([*tracked, *(extra if kind == "d" else [])]) if name]


def _git(folder: Path, *words: str) -> str:
    return _bytes(folder, *words).decode("utf-8", "surrogateescape")


def _bytes(folder: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=120)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"git cannot be run ({error}): install it, and run this in the newsletter's repository.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BadInput(
            f"git {words[0]} failed ({said[-1] if said else 'no message'}): run this in the newsletter's repository."
        )
    return done.stdout
