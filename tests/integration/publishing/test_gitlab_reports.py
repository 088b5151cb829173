"""The reports on GitLab's merge requests: the component's jobs by the shell that runs them there, against sockets."""

from __future__ import annotations

import http.server
import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from click.testing import CliRunner

from mailer.cli import cli
from mailer.exchange.fork_text import MARK
from tests.conftest import ROOT
from tests.integration.publishing.test_comment import Repository, repository
from tests.integration.publishing.test_remote_publish import newsletter, url, with_key
from tests.integration.publishing.test_workflows import STRANGERS, Forge, change, forge, run
from tests.web import Web

__all__ = ["change", "forge", "newsletter", "repository", "url"]
COMPONENT = list(yaml.safe_load_all((ROOT / "templates" / "newsletter.yml").read_text("utf-8")))[1]
OURS = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text("utf-8"))
TARGET, FORK = 5, 6  # projects
API = f"/api/v4/projects/{TARGET}"
WARNING = "> **From a fork.** The fork's own code wrote what follows"
OWN, THEIRS = 7, 8  # merge requests
HEAD = "c" * 40


def job(name: str, server: str = "") -> str:
    """The script of one of the component's jobs, as GitLab puts it together, without what installs a browser."""
    lines = [line for line in COMPONENT[name]["script"] if "apt-get" not in line]
    return "\n".join(lines).replace("$[[ inputs.server ]]", server)


@pytest.fixture
def place(change: Repository, forge: Forge) -> Repository:
    """A runner with the program, in a clone with the branch of a merge request."""
    program = change.folder / "bin" / "postmerge"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m mailer.cli "$@"\n')
    program.chmod(0o755)
    base = change.output("rev-parse", "origin/main")
    change.environ |= {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    change.environ |= {"CI_MERGE_REQUEST_PROJECT_ID": str(TARGET), "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "draft"}
    return change


@pytest.fixture
def gitlab(forge: Forge) -> Forge:
    """GitLab with two merge requests, of which one comes from a fork, without a report so far."""
    sources = ((OWN, TARGET), (THEIRS, FORK))
    forge.answers |= {
        f"{API}/merge_requests": [
            {"iid": number, "sha": HEAD, "source_project_id": source, "target_project_id": TARGET} for number, source in sources
        ],
        "/api/v4/user": {"id": 70},
    }
    for number, source in sources:
        forge.answers[f"{API}/merge_requests/{number}"] = {
            "head_pipeline": {"id": 90 + number, "sha": HEAD, "project_id": source}
        }
        forge.answers[f"/api/v4/projects/{source}/pipelines/{90 + number}/jobs"] = []
    return forge


def upload(gitlab: Forge, number: int, report: bytes, picture: bytes = b"", **facts: Any) -> None:
    """What GitLab says about the job of a merge request that wrote its report."""
    project = TARGET if number == OWN else FORK
    jobs = [{"id": 3, "name": "check", "status": "success"}, {"id": 4, "name": "report", "status": "success", **facts}]
    at = f"/api/v4/projects/{project}"
    gitlab.answers[f"{at}/pipelines/{90 + number}/jobs"] = jobs
    gitlab.answers[f"{at}/jobs/4/artifacts/comment.md"] = report
    gitlab.answers[f"{at}/jobs/4/artifacts/mail.png"] = picture or 404


def post(gitlab: Forge, token: str = "t") -> str:
    """Run the command of the component's job; what it says of the two merge requests, or its error."""
    assert COMPONENT["comment"]["script"] == ["postmerge comment-gitlab"]
    environ = {"CI_API_V4_URL": f"{gitlab.url}/api/v4", "CI_PROJECT_ID": str(TARGET), "POSTMERGE_GITLAB_TOKEN": token}
    done = CliRunner().invoke(cli, ["comment-gitlab"], env=environ)
    return f"{done.output}{done.exception}" if done.exception else done.output


@pytest.mark.slow
def test_the_report_of_an_own_merge_request_becomes_one_note_with_numbers_picture_and_preview(
    place: Repository, gitlab: Forge, newsletter: Web, url: str
) -> None:
    place.environ |= {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": str(TARGET), "DATABASE_URL": "", "REDIS_URL": ""}
    place.environ |= {"POSTMERGE_REVIEW_KEY": with_key(newsletter, url, "review")._key}
    run(place, job("preview", url))
    name, _, address = (place.folder / "preview.env").read_text().strip().partition("=")
    assert "Hello" in newsletter.client.get(urlsplit(address).path).text
    run(place, job("report", url), **{name: address})
    written = (place.folder / "comment.md").read_bytes()
    assert b"POSTMERGE_REVIEW_KEY" not in written
    upload(gitlab, OWN, written, (place.folder / "mail.png").read_bytes())
    assert [post(gitlab).splitlines()[0] for _ in range(2)] == [f"!{OWN}: posted", f"!{OWN}: up to date"]
    [said] = gitlab.ours()
    assert "**will send** *Hello*" in said
    assert f"[The site as it would be](<{address}>)" in said
    assert 'src="/uploads/1/mail.png"' in said
    assert f"POST {API}/statuses/{HEAD}" in gitlab.asked
    assert gitlab.said[-1]["name"] in said.replace("Digest | `", "postmerge "), "the check is named after the digest"
    upload(gitlab, OWN, written + b"/close\n\r/close\n")
    assert post(gitlab).splitlines()[0] == f"!{OWN}: renewed"
    [said] = gitlab.ours()
    assert "\n/" not in said.replace("\r", ""), "a line that GitLab would run as a command"
    run(place, job("remove-preview", url))
    assert newsletter.client.get(urlsplit(address).path).status_code == 404


def test_the_report_of_a_fork_is_made_without_a_secret_and_posted_under_a_warning(place: Repository, gitlab: Forge) -> None:
    given = {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": str(FORK), "POSTMERGE_REVIEW_KEY": "", "PREVIEW_URL": ""}
    run(place, job("report"), **given, DATABASE_URL="", POSTMERGE_SECRET="")
    assert not (place.folder / "mail.png").exists()
    upload(gitlab, THEIRS, (place.folder / "comment.md").read_bytes())
    assert post(gitlab).splitlines() == [f"!{OWN}: no report yet", f"!{THEIRS}: posted"]
    assert post(gitlab).splitlines()[1] == f"!{THEIRS}: up to date"
    [said] = gitlab.ours()
    assert said.startswith(f"{MARK}\n{WARNING}")
    assert "*Hello*" in said
    assert "subscribers**" not in said
    assert f"POST {API}/merge_requests/{THEIRS}/notes" in gitlab.asked
    assert not any("mail.png" in one or "uploads" in one for one in gitlab.asked), "a fork's picture is not taken"
    assert not any("statuses" in one for one in gitlab.asked), "a fork's digests name no check"


def test_what_a_fork_plants_names_nobody_refers_to_nothing_and_commands_nothing(gitlab: Forge) -> None:
    upload(gitlab, THEIRS, f"{MARK}\n/merge\r> /approve\n@team &#64;team !12 &#33;12 #12 &#47;close\n".encode() * 3000)
    post(gitlab)
    [said] = gitlab.ours()
    for planted in ("@team", "!12", "#12", "&#64;", "&#33;", "&#47;"):
        assert planted not in said
    assert not any(line.lstrip("> \t").startswith("/") for line in said.splitlines())
    assert len(said.encode()) < 200_000


@pytest.mark.parametrize(
    ("pipeline", "facts"),
    [
        (None, {}),
        ({"id": 98, "sha": "d" * 40, "project_id": FORK}, {}),
        ({"id": 97, "sha": "", "project_id": 99}, {}),
        ("same", {"status": "failed"}),
        ("same", {"name": "other"}),
    ],
)
def test_a_forks_report_is_posted_only_from_the_pipeline_of_its_last_commit(
    gitlab: Forge, pipeline: Any, facts: dict[str, Any]
) -> None:
    upload(gitlab, THEIRS, b"Merge this.", **facts)
    if pipeline != "same":
        gitlab.answers[f"{API}/merge_requests/{THEIRS}"] = {"head_pipeline": pipeline}
    assert post(gitlab).splitlines()[1] == f"!{THEIRS}: no report yet"
    assert not any(one.startswith(("POST", "PUT")) for one in gitlab.asked)


def test_a_private_fork_has_no_report_and_stops_no_other(gitlab: Forge) -> None:
    upload(gitlab, OWN, b"Merging this sends nothing.")
    gitlab.answers[f"/api/v4/projects/{FORK}/pipelines/{90 + THEIRS}/jobs"] = 404
    assert post(gitlab).splitlines() == [f"!{OWN}: posted", f"!{THEIRS}: no report yet"]
    assert gitlab.comments[STRANGERS].startswith(MARK), "a stranger's note that begins like ours is left alone"
    assert gitlab.comments[STRANGERS] == f"{MARK}\nMerging this sends nothing."


def test_a_token_that_gitlab_refuses_is_one_sentence_without_the_token(gitlab: Forge) -> None:
    for path, status in ((f"{API}/merge_requests", 403), ("/api/v4/user", 401)):
        upload(gitlab, OWN, b"Merging this sends nothing.")
        before, gitlab.answers[path] = gitlab.answers[path], status
        said = post(gitlab, "glpat-secret")
        assert f"GitLab refused the token ({status}): give POSTMERGE_GITLAB_TOKEN the role Reporter" in said
        assert "glpat-secret" not in said
        gitlab.answers[path] = before


class Storage(http.server.ThreadingHTTPServer):
    """Where GitLab keeps artifacts: it redirects there."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StorageHandler)
        self.tokens: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class StorageHandler(http.server.BaseHTTPRequestHandler):
    server: Storage

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers.get("PRIVATE-TOKEN"))
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"Text.")


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    yield made
    made.shutdown()
    made.server_close()


def test_a_token_that_may_name_no_check_still_posts(gitlab: Forge) -> None:
    upload(gitlab, OWN, f"Text.\n\n| Digest | `{'a' * 64}` |\n".encode())
    gitlab.answers[f"{API}/statuses/{HEAD}"] = 403
    assert f"!{OWN}: posted, without a check: the token needs the role Developer for one." in post(gitlab)


def test_a_storage_elsewhere_does_not_get_the_token(gitlab: Forge, storage: Storage) -> None:
    upload(gitlab, OWN, b"")
    gitlab.redirects[f"{API}/jobs/4/artifacts/comment.md"] = f"{storage.url}/comment.md"
    assert post(gitlab).splitlines()[0] == f"!{OWN}: posted"
    assert storage.tokens == [None]
    assert "Text." in gitlab.ours()[0]


def test_our_own_pipeline_does_the_same(place: Repository, gitlab: Forge) -> None:
    report, comment = OURS["report"]["script"], OURS["comment"]["script"]
    assert report[0].startswith("apt-get ")
    assert report[1].startswith("make ")
    assert comment[0].startswith("make ")
    drawing = " --picture mail.png --picture-url PICTURE"
    assert report[-1].endswith(drawing)
    run(place, "\n".join(report[2:]).removesuffix(drawing))
    upload(gitlab, OWN, (place.folder / "comment.md").read_bytes())
    assert "mailer.cli comment-gitlab" in comment[1]
    assert post(gitlab).splitlines()[0] == f"!{OWN}: posted"
    [said] = gitlab.ours()
    assert "**will send** *Hello* to **20 subscribers**" in said
    found = json.loads((place.folder / "checks.json").read_text())
    assert [(one["location"]["path"], one["location"]["lines"]["begin"]) for one in found] == [
        ("content/issues/hello.md", 1),  # no preheader
        ("content/issues/hello.md", 5),  # "here"
    ]


def test_the_component_shows_a_key_to_own_merge_requests_alone() -> None:
    own = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID && $POSTMERGE_REVIEW_KEY"
    for name in ("preview", "remove-preview"):
        [rule] = COMPONENT[name]["rules"]
        assert rule["if"].endswith(own)
        assert COMPONENT[name]["environment"]["name"] == "preview/$CI_MERGE_REQUEST_IID"
    assert COMPONENT["preview"]["environment"]["on_stop"] == "remove-preview"
    assert COMPONENT["remove-preview"]["variables"] == {"GIT_STRATEGY": "none"}
    assert "POSTMERGE_API_KEY" not in re.sub(r'POSTMERGE_API_KEY="\$POSTMERGE_REVIEW_KEY"', "", job("preview"))
    [rule] = COMPONENT["comment"]["rules"]
    assert rule["if"].startswith('$CI_PIPELINE_SOURCE == "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH')
    assert COMPONENT["comment"]["variables"] == {"GIT_STRATEGY": "none"}, "nothing of a merge request is checked out"
    assert Path(COMPONENT["report"]["artifacts"]["paths"][0]).name == "comment.md"
