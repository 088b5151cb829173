"""The steps of ``action.yml``, run by the shell that runs them on GitHub, against a forge and a server on sockets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from tests.conftest import ROOT
from tests.integration.publishing.test_comment import Repository, repository
from tests.integration.publishing.test_remote_publish import newsletter, url, with_key
from tests.integration.publishing.test_workflows import FROM_A_FORK, Forge, change, filled, forge, put_gh, run
from tests.web import Web

__all__ = ["change", "forge", "newsletter", "repository", "url"]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
COMMANDS = ("check", "report", "comment", "comment-fork", "build", "publish", "remove-preview")


def step(name: str) -> dict[str, Any]:
    [found] = [one for one in STEPS if one.get("name") == name]
    return found


@pytest.fixture
def runner(change: Repository, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a runner on which the action has installed the program."""
    temp = tmp_path_factory.mktemp("runner")
    program = temp / "postmerge" / "bin" / "postmerge"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m mailer.cli "$@"\n')
    program.chmod(0o755)
    return {"RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(temp / "output"), "DATABASE_URL": "", "REDIS_URL": ""}


def test_each_command_has_its_steps_and_every_script_is_one() -> None:
    assert all(f"{command} (" in ACTION["inputs"]["command"]["description"] for command in COMMANDS)
    for one in STEPS:
        assert one["if"] == "${{ !startsWith(inputs.command, 'comment') }}" or one["if"] in [
            f"inputs.command == '{name}'" for name in COMMANDS
        ]
        subprocess.run(["bash", "-n", "-c", one.get("run", "")], check=True)
        assert "${{" not in one.get("run", ""), "text from outside belongs into the environment"
    assert ["inputs.key" in str(one.get("env", "")) for one in STEPS].count(True) == 3, (
        "only publish, report and remove-preview see a key"
    )


def test_the_program_is_installed_outside_the_repository_with_pinned_requirements() -> None:
    script = step("Install Postmerge")["run"]
    assert "--require-hashes" in script
    assert '"$RUNNER_TEMP/postmerge"' in script


@pytest.mark.slow
def test_the_report_becomes_one_comment(change: Repository, forge: Forge, runner: dict[str, str]) -> None:
    put_gh(change, forge)
    head = change.output("rev-parse", "HEAD")
    origin = Path(change.output("remote", "get-url", "origin"))
    values = {
        "github.base_ref": "main", "github.event.action == 'synchronize' && github.event.before || ''": "",
        "github.event.pull_request.number": "7", "github.event.pull_request.head.sha": head,
        "github.token": "t", "github.action_path": str(ROOT),
        "inputs.key": "", "inputs.server": "", "inputs.tests": "false", FROM_A_FORK: "false",
        "inputs.preview": "true", "github.head_ref": "draft",
    }  # fmt: skip
    environ = {**runner, "GITHUB_SERVER_URL": str(origin.parent), "GITHUB_REPOSITORY": origin.name}
    report, post = step("Write the report"), step("Post the report, or renew the one that is there")
    for _ in range(2):
        run(change, report["run"], **environ, **filled(report, values))
        shutil.rmtree(change.folder / "temp", ignore_errors=True)
        (change.folder / "temp" / "report").mkdir(parents=True)
        for name in ("comment.md", "mail.png"):  # what the artifact's actions do
            (change.folder / name).rename(change.folder / "temp" / "report" / name)
        run(change, f"cd temp\n{post['run']}", **environ, **filled(post, values))
    [said] = forge.ours()
    assert "*Hello*" in said
    assert f"blob/mail-pictures/7-{head}.png?raw=true" in said
    status = f"POST /repos/{origin.name}/statuses/{head}"
    assert [one if "statuses" in one else one.split()[0] for one in forge.asked] == [
        status,
        "GET",
        "POST",
        status,
        "GET",
        "PATCH",
    ]
    change.git("fetch", "-q", "origin")
    assert change.output("ls-tree", "--name-only", "origin/mail-pictures") == f"7-{head}.png"


def test_findings_stand_beside_the_lines_of_the_change(change: Repository, runner: dict[str, str]) -> None:
    found = step("Check what was changed")
    said = run(change, found["run"], **runner, **filled(found, {"github.base_ref": "main"}))
    assert "::warning file=content/issues/hello.md,line=5" in said
    assert "old.md" not in said


@pytest.mark.slow
def test_what_was_built_without_a_secret_is_published_once_by_a_runner_without_the_repository(
    change: Repository, runner: dict[str, str], newsletter: Web, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = with_key(newsletter, url, "publish")._key
    given = {**runner, "POSTMERGE_SITE_URL": newsletter.settings.site_url}
    build, publish = step("Build the site"), step("Publish")
    secret = {"inputs.key": key, "inputs.server": url, "github.sha": change.output("rev-parse", "HEAD")}
    emptied = {name: "" for name in change.environ if name.startswith(("POSTMERGE_SECRET", "POSTMERGE_API"))}
    change.git("checkout", "-q", "main")
    sends, place = [], tmp_path_factory.mktemp("publishing")
    for branch in ("main", "draft", "draft"):
        change.git("checkout", "-q", branch)
        run(change, build["run"], **{**given, **emptied}, **filled(build, {}), POSTMERGE_BUILD="build")
        shutil.rmtree(place / "build", ignore_errors=True)
        shutil.copytree(change.folder / "build" / "editions", place / "build" / "editions")  # the artifact
        script = f"cd {place}\n{publish['run']}"
        run(change, script, **{**given, **emptied}, **filled(publish, secret), POSTMERGE_BUILD="build")
        plan = (Path(runner["GITHUB_OUTPUT"]).read_text().splitlines())[-1]
        sends.append(json.loads(plan.removeprefix("plan="))["sends"])
    assert [len(one) for one in sends] == [0, 1, 0]


@pytest.mark.slow
def test_the_report_links_to_a_preview_of_the_site_which_a_merge_removes(
    change: Repository, runner: dict[str, str], newsletter: Web, url: str
) -> None:
    key = with_key(newsletter, url, "review")._key
    values = {
        "github.base_ref": "main", "github.event.action == 'synchronize' && github.event.before || ''": "",
        "github.event.pull_request.number": "7", "github.event.pull_request.head.sha": "", "github.head_ref": "draft",
        "inputs.key": key, "inputs.server": url, "inputs.tests": "false", "inputs.preview": "true", FROM_A_FORK: "true",
    }  # fmt: skip
    report, remove = step("Write the report"), step("Remove the preview")
    run(change, report["run"], **runner, **filled(report, values))
    said = (change.folder / "comment.md").read_text()
    [address] = re.findall(r"\[The site as it would be\]\(<(\S+)>\)", said)
    path = urlsplit(address).path
    assert "Hello" in newsletter.client.get(path).text
    assert "Hello" in newsletter.client.get(f"{path}issues/hello/").text
    run(change, remove["run"], **runner, **filled(remove, values))
    assert newsletter.client.get(path).status_code == 404
    run(change, remove["run"], **runner, **filled(remove, {**values, "inputs.key": ""}))


@pytest.mark.slow
def test_without_a_preview_there_is_still_a_report(
    change: Repository, runner: dict[str, str], newsletter: Web, url: str
) -> None:
    newsletter.settings.build.mkdir(parents=True, exist_ok=True)
    newsletter.settings.previews_folder.write_text("in the way")
    values = {
        "github.base_ref": "main", "github.event.action == 'synchronize' && github.event.before || ''": "",
        "github.event.pull_request.number": "7", "github.event.pull_request.head.sha": "", "github.head_ref": "draft",
        "inputs.key": with_key(newsletter, url, "review")._key, "inputs.server": url, "inputs.tests": "false",
        "inputs.preview": "true", FROM_A_FORK: "true",
    }  # fmt: skip
    report = step("Write the report")
    run(change, report["run"], **runner, **filled(report, values))
    said = (change.folder / "comment.md").read_text()
    assert "*Hello*" in said
    assert "The site as it would be" not in said
