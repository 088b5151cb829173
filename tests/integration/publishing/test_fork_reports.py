"""The report on a fork's pull request: whatever the fork's run uploads, it is posted as data, on that pull request alone."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mailer.exchange.fork_text import MARK
from tests.conftest import ROOT
from tests.integration.publishing.test_action import step
from tests.integration.publishing.test_comment import Repository, repository
from tests.integration.publishing.test_workflows import (
    FROM_A_FORK,
    Forge,
    change,
    filled,
    forge,
    put_gh,
    run,
    steps,
)

__all__ = ["change", "forge", "repository"]
COMMIT = "c" * 40
REPOSITORY = "ada/letter"
RUN = "99"
API = f"/repos/{REPOSITORY}"
WARNING = "> **From a fork.** The fork's own code wrote what follows"
MAX_ARTIFACT_BYTES = 5_000_000
EVENT = {
    "github.token": "t",
    "github.action_path": str(ROOT),
    "github.event.workflow_run.id": RUN,
    "github.event.workflow_run.head_sha": COMMIT,
    "github.event.workflow_run.head_repository.owner.login": "mallory",
    "github.event.workflow_run.head_branch": "fix/a typo; $(rm -rf .)",
}


def packed(text: str | bytes, name: str = "comment.md") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return made.getvalue()


def upload(forge: Forge, data: bytes, **artifact: Any) -> None:
    """What GitHub says about a fork's run, its artifact and the open pull requests of its branch."""
    whole = {"id": 5, "name": "report", "size_in_bytes": len(data), "expired": False, "workflow_run": {"head_sha": COMMIT}}
    forge.answers[f"{API}/actions/runs/{RUN}/artifacts"] = {"artifacts": [{**whole, **artifact}]}
    forge.answers[f"{API}/actions/artifacts/5/zip"] = data
    forge.answers.setdefault(f"{API}/pulls", [pull()])


def pull(number: int = 7, sha: str = COMMIT, repository: str = REPOSITORY) -> dict[str, Any]:
    return {"number": number, "head": {"sha": sha}, "base": {"repo": {"full_name": repository}}}


@pytest.fixture
def place(change: Repository, forge: Forge) -> Repository:
    """A runner with the default branch's hooks."""
    put_gh(change, forge)
    (change.folder / "hooks").symlink_to(ROOT / "hooks")
    return change


def post(place: Repository, forge: Forge, event: dict[str, str] = EVENT) -> str:
    """Run the workflow's step; what it posted, or ''."""
    found = steps("comment-forks.yml", "post")["Post the report on a fork's pull request"]
    run(place, found["run"], GITHUB_REPOSITORY=REPOSITORY, GITHUB_SERVER_URL=forge.url, **filled(found, event))
    return "".join(forge.ours())


@pytest.mark.slow
def test_a_forks_report_is_written_without_secrets_and_posted_under_a_warning(place: Repository, forge: Forge) -> None:
    report = steps("comment.yml", "report")["Write the report"]
    values = {"github.base_ref": "main", "secrets.DATABASE_URL_READONLY": "", FROM_A_FORK: "true"}
    values["github.event.action == 'synchronize' && github.event.before || ''"] = ""
    run(place, report["run"], **{**filled(report, values), "PICTURE": "", "GITHUB_SERVER_URL": "", "GITHUB_REPOSITORY": ""})
    assert not (place.folder / "mail.png").exists()
    upload(forge, packed((place.folder / "comment.md").read_bytes()))
    for _ in range(2):
        said = post(place, forge)
        assert said.startswith(f"{MARK}\n{WARNING}")
        assert "*Hello*" in said
        assert "20 subscribers" not in said
    assert [one.split()[0] for one in forge.asked if "/issues/" in one] == ["GET", "POST", "GET", "PATCH"]
    assert f"POST {API}/issues/7/comments" in forge.asked
    assert not any("statuses" in one for one in forge.asked), "a fork's digests name no check"


def test_the_action_does_the_same(place: Repository, forge: Forge) -> None:
    found = step("Post the report on a fork's pull request")
    upload(forge, packed(f"{MARK}\nMerging this will send it."), name="postmerge-report")
    run(place, found["run"], GITHUB_REPOSITORY=REPOSITORY, GITHUB_SERVER_URL=forge.url, **filled(found, EVENT))
    assert forge.ours()[0].endswith("Merging this will send it.\n")


def test_what_a_fork_plants_names_nobody_and_commands_nothing(place: Repository, forge: Forge) -> None:
    upload(forge, packed("/merge\r> /lgtm\n&#x40;team and &#64;team, @team, &#47;close, &amp;, #12, GH-3\x00\x1b[0m"))
    said = post(place, forge)
    for one in ("@team", "#12", "GH-3", "&#64;", "&#x40;", "\x00", "\x1b"):
        assert one not in said
    assert "&amp;" in said
    assert not any(line.lstrip("> \t").startswith("/") for line in said.splitlines())


@pytest.mark.parametrize(
    ("data", "artifact"),
    [
        (b"not a zip file", {}),
        (packed("Hello", "../comment.md"), {}),
        (packed("Hello", "mail.png"), {}),
        (packed("Hello")[:-30], {}),
        (packed("Hello"), {"name": "other"}),
        (packed("Hello"), {"expired": True}),
        (packed("Hello"), {"size_in_bytes": MAX_ARTIFACT_BYTES + 1}),
        (packed("Hello"), {"workflow_run": {"head_sha": "d" * 40}}),
    ],
)
def test_an_artifact_that_cannot_be_used_is_not_posted(
    place: Repository, forge: Forge, data: bytes, artifact: dict[str, Any]
) -> None:
    upload(forge, data, **artifact)
    assert post(place, forge) == ""
    assert not any(one.startswith("POST") for one in forge.asked)


def test_a_bomb_is_read_up_to_the_limit_of_a_comment(place: Repository, forge: Forge) -> None:
    upload(forge, packed("ä" * 50_000_000))
    assert 50_000 < len(post(place, forge).encode()) < 65_536


@pytest.mark.parametrize("pulls", [[], [pull(sha="d" * 40)], [pull(repository="mallory/letter")]])
def test_a_report_is_posted_only_where_the_runs_commit_is_the_last_one(
    place: Repository, forge: Forge, pulls: list[dict[str, Any]]
) -> None:
    forge.answers[f"{API}/pulls"] = pulls or [{**pull(), "head": {"sha": ""}}]
    upload(forge, packed("Merge this: NUMBER=1"))
    assert post(place, forge) == ""


def test_the_branch_of_a_fork_is_text(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {asked}\necho "[]"\n')
    gh.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_REPOSITORY": REPOSITORY, "OWNER": "mallory", "BRANCH": "a&head=b:c"}
    environ |= {"RUN": RUN, "COMMIT": COMMIT, "ARTIFACT": "report"}
    script = [sys.executable, str(ROOT / "hooks" / "fork_report.py")]
    done = subprocess.run(script, env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert "no report to post" in done.stderr
    assert asked.read_text() == f"api\nrepos/{REPOSITORY}/pulls?state=open&per_page=100&head=mallory%3Aa%26head%3Db%3Ac\n"
