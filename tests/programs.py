"""Programs of others, pinned, in folders of their own; what a registry does not have here is skipped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UV = Path(sys.executable).parent / "uv"


def install_from_pypi(folder: Path, requirement: str) -> Path:
    """The folder of the programs of a new environment that has this package."""
    made = subprocess.run([UV, "venv", "-q", "--python", sys.executable, folder], capture_output=True, check=False)
    _install([UV, "pip", "install", "-q", "--python", folder / "bin" / "python", requirement], requirement, made.returncode)
    return folder / "bin"


def install_from_npm(folder: Path, package: str) -> Path:
    """The folder of the programs that a package and those it requires have."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which is not here")
    _install([npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", package], package)
    return folder / "node_modules" / ".bin"


def _install(command: list[str | Path], what: str, failed: int = 0) -> None:
    if failed or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"{what} cannot be installed here")
