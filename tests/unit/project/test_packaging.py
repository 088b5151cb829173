"""What a release says about itself: one version, typed packages, a changelog."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

import mailer
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_version_is_written_once() -> None:
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "mailer/__init__.py"}
    assert "version" in PROJECT["project"]["dynamic"]


def test_both_packages_are_marked_as_typed() -> None:
    for package in ("mailer", "api"):
        assert (ROOT / package / "py.typed").is_file()
        assert package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_the_changelog_has_a_section_for_each_version_newest_first() -> None:
    entries = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - (Unreleased|\d{4}-\d{2}-\d{2})", heading) for heading in HEADINGS]
    versions = [tuple(map(int, entry.group(1, 2, 3))) for entry in entries if entry]
    assert len(versions) == len(HEADINGS) >= 2
    assert versions == sorted(set(versions), reverse=True)
    assert mailer.__version__ in [heading.partition(" - ")[0] for heading in HEADINGS]
    days = [entry[4] for entry in entries if entry]
    assert "Unreleased" not in days[1:]
    assert all(date.fromisoformat(day) for day in days if day != "Unreleased")


def _commit_subject() -> re.Pattern[str]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    [entry] = [hook["entry"] for hook in hooks if hook["id"] == "commit-subject"]
    return re.compile(entry, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "message",
    [
        "sending: Back off when SES throttles\n\nThe why, in a sentence that ends here.\n",
        "publish, plan: Say each thing once",
        f"docs: {'X' * 66}\n",
        "Merge branch 'topic'\n",
    ],
)
def test_a_good_commit_message_passes_the_hook(message: str) -> None:
    assert not _commit_subject().search(message)


@pytest.mark.parametrize(
    "message",
    [
        "Back off when SES throttles\n",
        "sending: back off\n",
        "sending: Back off.\n",
        f"docs: {'X' * 67}\n",
        "\nsending: Back off\n",
    ],
)
def test_a_bad_commit_message_fails_the_hook(message: str) -> None:
    assert _commit_subject().search(message)


def test_every_local_hook_runs_what_make_check_runs() -> None:
    check = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    hooks = re.findall(r"entry: \.venv/bin/(\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert hooks
    assert all(f".venv/bin/{tool}" in check for tool in hooks)


def test_ci_pins_its_actions_and_runs_every_supported_python() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", f"x@{'0' * 40}")), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    pythons = workflow["jobs"]["run"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(int(lowest.partition(".")[2]), 15)]
    assert ".ci/run" in [step.get("run") for step in workflow["jobs"]["run"]["steps"]]


def test_a_wheel_knows_the_commit_it_was_built_from_unless_something_is_not_committed(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "build_commit", ROOT / PROJECT["tool"]["hatch"]["build"]["hooks"]["custom"]["path"]
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def build() -> list[str]:
        data: dict[str, dict[str, str]] = {"force_include": {}}
        module.CommitHook(str(tmp_path), {}, None, None, "", "wheel").initialize("standard", data)
        assert set(data["force_include"].values()) <= {"mailer/scaffold/commit"}
        return [Path(file).read_text() for file in data["force_include"]]

    assert build() == [], "without a repository"
    (tmp_path / "file").write_text("one")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "file"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert build() == [head.stdout.strip()]
    (tmp_path / "file").write_text("two")
    assert build() == []
