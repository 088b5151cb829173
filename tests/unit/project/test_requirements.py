"""The pinned requirements are whole on every Python that we support, not only on the one that pinned them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
_ENVIRON = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython"}


def _pinned(name: str) -> dict[str, list[Requirement]]:
    """The pins of each package: a few have one for older versions of Python, too."""
    lines = re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*)", (ROOT / name).read_text(), re.MULTILINE)
    found: dict[str, list[Requirement]] = {}
    for one in (Requirement(line.strip()) for line in lines):
        found.setdefault(canonicalize_name(one.name), []).append(one)
    return found


@pytest.mark.parametrize("version", ["3.11.2", "3.12.1", "3.13.0", "3.14.0"])
def test_every_dependency_is_pinned_for_each_python(version: str) -> None:
    environ = {**_ENVIRON, "python_full_version": version, "python_version": version.rpartition(".")[0], "extra": ""}
    pins = _pinned("requirements.txt")
    assert len(pins) > 30
    missing = []
    for name in pins:
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue
        for one in needed:
            if one.marker and not one.marker.evaluate(environ):
                continue
            found = pins.get(canonicalize_name(one.name), [])
            if not any(pin.marker is None or pin.marker.evaluate(environ) for pin in found):
                missing.append(f"{one} of {name}")
    assert missing == []
