"""Put the commit that a wheel is built from into it, so that `postmerge init` can pin a newsletter's workflow to that commit.

Writes nothing when git does not know, or when something is not committed: `init` then names the version's tag.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_TARGET = "mailer/scaffold/commit"


class CommitHook(BuildHookInterface[Any]):
    """Hatchling's hook for wheels and source archives, from which wheels are built as well."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built, unless the source archive brings it."""
        root = Path(self.root)
        commit = _find_commit(root)
        if commit and version == "standard" and not (root / _TARGET).exists():
            file = Path(tempfile.mkdtemp()) / "commit"
            file.write_text(commit)
            build_data["force_include"][str(file)] = _TARGET


def _find_commit(root: Path) -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        if not (root / ".git").exists() or git("status", "--porcelain", "--untracked-files=no"):
            return ""
        return git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return ""
