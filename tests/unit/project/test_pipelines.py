"""What the pipelines of a newsletter may do: a pull request's code meets no credential that writes."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]

from mailer.cli import cli
from tests.conftest import ROOT

WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
JOBS = [(f"{name} {job}", WORKFLOWS[name], facts) for name in WORKFLOWS for job, facts in WORKFLOWS[name]["jobs"].items()]
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
COMPONENT_TEXT = (ROOT / "templates" / "newsletter.yml").read_text()
COMPONENT_INPUTS, COMPONENT = yaml.safe_load_all(COMPONENT_TEXT)
PROTECTED = {"DATABASE_URL", "REDIS_URL", "POSTMERGE_SECRET", "POSTMERGE_GITLAB_TOKEN"}


def each_job(test: Any) -> Any:
    return pytest.mark.parametrize(("whole", "job"), [one[1:] for one in JOBS], ids=[one[0] for one in JOBS])(test)


@each_job
def test_every_action_is_pinned_by_commit_and_no_checkout_keeps_its_token(whole: Any, job: Any) -> None:
    for step in job["steps"]:
        if uses := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses), uses
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@each_job
def test_a_job_that_may_write_runs_no_code_of_a_pull_request(whole: Any, job: Any) -> None:
    granted = job.get("permissions", whole["permissions"])
    writes = {name for name, level in granted.items() if level == "write"}
    on_pull_requests = "pull_request" in whole[True]  # YAML reads the key `on` as a truth value
    base = (
        "${{ github.event.pull_request.base.sha }}" if on_pull_requests else None
    )  # else the default branch, if none is named
    checkouts = [step for step in job["steps"] if "actions/checkout" in step.get("uses", "")]
    checks_out = any(step["with"].get("ref") != base for step in checkouts)
    assert "pull_request_target" not in whole[True]
    assert not (writes and checks_out and (on_pull_requests or "workflow_run" in whole[True]))
    assert not {"write"} & set(whole["permissions"].values()), "each job is granted what it needs alone"


def test_what_posts_a_forks_report_may_do_that_alone_and_meets_no_secret() -> None:
    whole = WORKFLOWS["comment-forks.yml"]
    assert whole[True] == {"workflow_run": {"workflows": [WORKFLOWS["comment.yml"]["name"]], "types": ["completed"]}}
    [job] = whole["jobs"].values()
    assert job["if"].startswith("github.event.workflow_run.event == 'pull_request' && ")
    assert job["if"].endswith("github.event.workflow_run.head_repository.full_name != github.repository")
    assert job["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    assert "secrets." not in str(job)
    assert all("${{" not in step.get("run", "") for step in job["steps"]), "text from outside belongs into the environment"
    report = WORKFLOWS["comment.yml"]["jobs"]["report"]
    assert report["permissions"] == {"contents": "read"}


@each_job
def test_a_build_has_no_secret_in_its_environment(whole: Any, job: Any) -> None:
    assert "secrets." not in str(job.get("env", "")), "secrets belong to the one step that needs them"
    for step in job["steps"]:
        if "mailer.cli build" in step.get("run", ""):
            assert "secrets." not in str(step)
            assert "id-token" not in job["permissions"]
            assert not any("aws-actions" in other.get("uses", "") for other in job["steps"])


def test_gitlabs_merge_requests_need_no_protected_variable() -> None:
    for name, job in GITLAB.items():
        text = str(job)
        if "merge_request_event" in text:
            assert job["variables"]["DATABASE_URL"] == "$DATABASE_URL_READONLY"
            assert not any(re.search(rf"\\$\\{{?{one}\\b", text) for one in PROTECTED), name
        else:
            assert "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in text, name


def test_gitlabs_build_runs_outside_of_the_environment_that_has_the_secrets() -> None:
    assert "environment" not in GITLAB["build"]
    assert GITLAB["publish"]["environment"] == "production"
    assert "mailer.cli build" not in str(GITLAB["publish"])
    listed = (ROOT / ".gitlab-ci.yml").read_text().split("Not protected")[0]
    assert all(one in listed for one in PROTECTED)


def test_gitlabs_component_names_each_of_its_inputs_and_commands_that_exist() -> None:
    asked = set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", COMPONENT_TEXT))
    assert asked == set(COMPONENT_INPUTS["spec"]["inputs"])
    assert all("default" in one for one in COMPONENT_INPUTS["spec"]["inputs"].values())
    scripts = "\n".join(line for name, job in COMPONENT.items() if not name.startswith(".") for line in job["script"])
    called = re.findall(r"(?<![/\w])postmerge ([a-z-]+)([^\n]*)", scripts)
    assert {command for command, _ in called} == {"check", "publish", "comment", "comment-gitlab", "build"}
    options = {command: set(re.findall(r"(?<= )--[a-z-]+", rest)) for command, rest in called if command != "comment"}
    options["comment"] = set(re.findall(r"(?<= )--[a-z-]+", "\n".join(re.findall(r"set -- (.*)", scripts))))
    for command, given in options.items():
        found = cli.get_command(click.Context(cli), command)
        assert found, command
        assert given <= {name for option in found.params for name in option.opts}, command


def test_gitlabs_component_publishes_from_the_default_branch_alone() -> None:
    for name in ("pages", "publish"):
        assert [rule["if"].partition(" &&")[0] for rule in COMPONENT[name]["rules"]] == [
            "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"
        ]
    assert [rule["if"] for rule in COMPONENT["check"]["rules"]] == ['$CI_PIPELINE_SOURCE == "merge_request_event"']
    assert "environment" not in COMPONENT["pages"]
    assert COMPONENT["publish"]["environment"] == "production"
