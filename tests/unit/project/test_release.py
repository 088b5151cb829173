"""What a tag has to agree with before its wheel is published, and who may publish it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from bench import release
from mailer import __version__
from tests.conftest import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
CI = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))


def _make_dist(folder: Path, version: str, requirement: str = "babel==2.0") -> Path:
    dist = folder / "dist"
    dist.mkdir()
    (dist / f"postmerge-{version}.tar.gz").touch()
    with zipfile.ZipFile(dist / f"postmerge-{version}-py3-none-any.whl", "w") as wheel:
        text = f"Metadata-Version: 2.4\nName: postmerge\nVersion: {version}\nRequires-Dist: {requirement}\n"
        wheel.writestr(f"postmerge-{version}.dist-info/METADATA", text)
    return dist


def _make_notes(folder: Path, heading: str) -> None:
    for name in ("CHANGELOG.md", "UPGRADING.md"):
        (folder / name).write_text(f"# Notes\n\n## {heading}\n")


def test_a_tag_that_agrees_with_everything_can_be_released(tmp_path: Path) -> None:
    _make_notes(tmp_path, f"{__version__} - 2026-12-01")
    assert release.list_faults(tmp_path, f"v{__version__}", _make_dist(tmp_path, __version__)) == []


def test_a_tag_that_contradicts_the_version_or_the_changelog_is_named(tmp_path: Path) -> None:
    _make_notes(tmp_path, "9.9.9 - Unreleased")
    faults = release.list_faults(tmp_path, "v9.9.9", _make_dist(tmp_path, "9.9.8"))
    assert [fault.split()[0] for fault in faults] == [
        "The",
        "CHANGELOG.md",
        "UPGRADING.md",
        str(tmp_path / "dist"),
        faults[-1].split()[0],
    ]
    assert "says that it is version 9.9.8" in faults[-1]


def test_a_wheel_that_requires_an_address_is_refused(tmp_path: Path) -> None:
    _make_notes(tmp_path, f"{__version__} - 2026-12-01")
    dist = _make_dist(tmp_path, __version__, "babel @ https://example.org/babel.whl")
    [fault] = release.list_faults(tmp_path, f"v{__version__}", dist)
    assert "requires a package by its address" in fault


def test_only_the_job_that_publishes_gets_a_token_and_it_runs_no_code_of_ours() -> None:
    granted = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()}
    assert [name for name, permissions in granted.items() if "id-token" in permissions] == ["publish"]
    publish = WORKFLOW["jobs"]["publish"]
    assert publish["needs"] == "walk"
    assert publish["environment"] == "release"
    assert not any("run" in step or "checkout" in step.get("uses", "") for step in publish["steps"])


@pytest.mark.parametrize("job", [CI["jobs"]["wheel"], WORKFLOW["jobs"]["walk"]], ids=["ci", "release"])
def test_the_wheel_is_walked_on_every_system_and_python_it_promises(job: dict[str, dict[str, dict[str, list[str]]]]) -> None:
    matrix = job["strategy"]["matrix"]
    assert matrix["python"] == CI["jobs"]["run"]["strategy"]["matrix"]["python"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest"]
