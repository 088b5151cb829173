"""The steps of the GitHub and GitLab pipelines, run by the shells that run them there, against servers on a socket.

``gh`` is a stand-in that asks the socket what the real one would ask GitHub; ``curl`` and ``jq`` are the real ones.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from mailer.exchange.fork_text import MARK
from tests.conftest import ROOT
from tests.integration.publishing.test_comment import Repository, repository

__all__ = ["repository"]
STRANGERS = 3  # the comment that begins like ours
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FROM_A_FORK = "github.event.pull_request.head.repo.full_name != github.repository"
GH = """#!{python}
import json, subprocess, sys, urllib.request
words = sys.argv[1:]
if words == ["auth", "setup-git"]:
    sys.exit()
assert words.pop(0) == "api"
method = words[words.index("--method") + 1] if "--method" in words else "GET"
path = next(word for word in words if word.startswith("repos/"))
fields = [words[at + 1] for at, word in enumerate(words) if word == "-F"]
body = json.dumps({{f.split("=")[0]: open(f.split("=@")[1]).read() for f in fields}}).encode() if fields else None
request = urllib.request.Request("{url}/" + path, body, {{"Authorization": "x"}}, method=method)
answer = urllib.request.urlopen(request).read()
if "--jq" not in words and "--silent" not in words:
    sys.stdout.buffer.write(answer)
elif "--silent" not in words:
    sys.stdout.flush()
    sys.exit(subprocess.run(["jq", "-r", words[words.index("--jq") + 1]], input=answer).returncode)
"""


class Forge(http.server.ThreadingHTTPServer):
    """The comments of one change, as GitHub and GitLab keep them, and what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: dict[int, str] = {1: "Nice.", 2: f"I quote: {MARK}", STRANGERS: f"{MARK}\nMerging this sends nothing."}
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.redirects: dict[str, str] = {}
        self.said: list[dict[str, Any]] = []  # checks of commits
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def ours(self) -> list[str]:
        return [text for number, text in self.comments.items() if number != STRANGERS and text.startswith(MARK)]

    def list_comments(self) -> list[dict[str, Any]]:
        ours = {"user": {"login": "github-actions[bot]"}, "author": {"id": 70}}
        strangers = {"user": {"login": "mallory"}, "author": {"id": 71}}
        return [
            {"id": number, "body": text, **(ours if number > STRANGERS else strangers)}
            for number, text in self.comments.items()
        ]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Forge

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not (self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN")):
            return self.say(401, {})
        if path.endswith("/uploads"):
            return self.say(201, {"url": "/uploads/1/mail.png"} if b"\x89PNG" in data else {})
        if "/api/v4/" in path and "/statuses/" in path:
            self.server.said.append(json.loads(data))
            return self.say(self.server.answers.get(path, 201), {})
        if path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[path])
            return self.end_headers()
        if path in self.server.answers:
            answer = self.server.answers[path]
            if isinstance(answer, int):
                return self.say(answer, {})
            return self.send(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        if self.command == "GET":
            return self.say(200, {"id": 70} if path.endswith("/user") else self.server.list_comments())
        text = json.loads(data)["body"] if data.startswith(b"{") else parse_qs(data.decode())["body"][0]
        last = path.rpartition("/")[2]
        number = int(last) if self.command in ("PATCH", "PUT") else max(self.server.comments) + 1
        self.server.comments[number] = text
        self.say(200, {"id": number})

    do_GET = do_POST = do_PATCH = do_PUT = answer

    def say(self, status: int, facts: Any) -> None:
        self.send(status, json.dumps(facts).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def forge() -> Iterator[Forge]:
    made = Forge()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def change(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A branch with a new issue in a clone, as a pipeline checks it out."""
    for program in ("jq", "curl", "git"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}, which is not here")
    origin = tmp_path_factory.mktemp("origin")
    subprocess.run(["git", "clone", "-q", "--bare", str(repository.folder), str(origin)], check=True)
    repository.git("remote", "add", "origin", str(origin))
    repository.git("fetch", "-q", "origin")
    repository.git("checkout", "-q", "-b", "draft")
    repository.write("hello", date.today().isoformat(), "See [here](https://example.org/).", "Send: yes\n")
    repository.commit()
    python = repository.folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with (repository.folder / ".git" / "info" / "exclude").open("a") as file:
        file.write(".venv\nbin\ntemp\n")
    return repository


def steps(name: str, job: str) -> dict[str, dict[str, Any]]:
    """The steps of a GitHub job that run a shell, by name."""
    made = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return {one.get("name", one["run"]): one for one in made["jobs"][job]["steps"] if "run" in one}


def run(repository: Repository, script: str, **environ: str) -> str:
    """One step, by the shell that GitHub takes."""
    env = {**repository.environ, **environ, "PATH": f"{repository.folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-e", "-c", script], cwd=repository.folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def filled(step: dict[str, Any], values: dict[str, str]) -> dict[str, str]:
    """A step's environment, its expressions replaced; an expression that the test does not know is a KeyError."""
    return {name: re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda m: values[m[1]], text) for name, text in step.get("env", {}).items()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_is_a_shell_script_and_names_commands_that_exist(path: Path) -> None:
    from mailer.cli import COMMANDS

    known = {name for names in COMMANDS.values() for name in names}
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert "@" in step.get("uses", "@"), "an action has a version"
            script = re.sub(r"\$\{\{.*?\}\}", "value", step.get("run", ""))
            subprocess.run(["bash", "-n", "-c", script], check=True)
            assert set(re.findall(r"mailer\.cli (\w+)", script)) <= known


def put_gh(change: Repository, forge: Forge) -> None:
    """Put the stand-in for ``gh`` where the steps find it."""
    gh = change.folder / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH.format(python=sys.executable, url=forge.url))
    gh.chmod(0o755)


@pytest.mark.slow
def test_githubs_steps_post_one_comment_renew_it_and_keep_the_picture(change: Repository, forge: Forge) -> None:
    put_gh(change, forge)
    report, post = steps("comment.yml", "report"), steps("comment.yml", "post")
    since = "github.event.action == 'synchronize' && github.event.before || ''"
    head = change.output("rev-parse", "HEAD")
    origin = Path(change.output("remote", "get-url", "origin"))
    environ = {"PICTURE": f"7-{head}.png", "NUMBER": "7", "GH_TOKEN": "t"}
    environ |= {"GITHUB_SERVER_URL": str(origin.parent), "GITHUB_REPOSITORY": origin.name}
    for before in ("", "0" * 40):
        step = report["Write the report"]
        values = {"github.base_ref": "main", since: before, "secrets.DATABASE_URL_READONLY": change.environ["DATABASE_URL"]}
        values |= {FROM_A_FORK: "false"}
        run(change, step["run"], **environ, **filled(step, values))
        shutil.rmtree(change.folder / "temp", ignore_errors=True)
        (change.folder / "temp" / "report").mkdir(parents=True)
        for name in ("comment.md", "mail.png"):  # what `upload-artifact` and `download-artifact` do
            (change.folder / name).rename(change.folder / "temp" / "report" / name)
        shutil.copytree(ROOT / "hooks", change.folder / "temp" / "hooks")
        run(change, f"cd temp\n{post['Post the report, or renew the one that is there']['run']}", **environ)
        [said] = forge.ours()
        assert "**will send** *Hello* to **20 subscribers**" in said
        assert f"blob/mail-pictures/7-{head}.png?raw=true" in said
    assert [one.split()[0] for one in forge.asked] == ["GET", "POST", "GET", "PATCH"]
    assert (forge.comments[1], len(forge.comments)) == ("Nice.", 4)
    change.git("fetch", "-q", "origin")
    assert change.output("ls-tree", "--name-only", "origin/mail-pictures") == f"7-{head}.png"


def test_a_strangers_comment_that_begins_like_the_report_is_left_alone(change: Repository, forge: Forge) -> None:
    put_gh(change, forge)
    (change.folder / "report").mkdir()
    (change.folder / "report" / "comment.md").write_text(f"{MARK}\nMerging this will send it.")
    environ = {"PICTURE": "7.png", "NUMBER": "7", "GH_TOKEN": "t", "GITHUB_SERVER_URL": forge.url, "GITHUB_REPOSITORY": "a/b"}
    run(change, (ROOT / "hooks" / "post-report").read_text(), **environ)
    assert forge.comments[STRANGERS] == f"{MARK}\nMerging this sends nothing."
    assert forge.ours() == [f"{MARK}\nMerging this will send it."]


def test_githubs_findings_stand_beside_the_lines_of_the_change(change: Repository) -> None:
    step = steps("comment.yml", "annotate")["Check what was changed"]
    said = run(change, step["run"], DATABASE_URL="", **filled(step, {"github.base_ref": "main"}))
    assert "::warning file=content/issues/hello.md,line=5" in said
    assert "old.md" not in said
