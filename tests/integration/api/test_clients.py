"""Programs written for Buttondown, unchanged, against this server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from tests import web
from tests.integration.api.test_drafts import PNG, branches, git
from tests.programs import install_from_npm, install_from_pypi

CLI = "@buttondown/cli@1.1.0"
TAP, THEIRS = "tap-buttondown==0.3.0", "https://api.buttondown.email/v1"
ELSEWHERE = """
import requests, tap_buttondown
get = requests.get
requests.get = lambda url, **more: get(url.replace("{theirs}", "{ours}"), **more)
tap_buttondown.main()
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Buttondown's command line: the one on the PATH, else installed by npm."""
    found = shutil.which("buttondown")
    return found or str(install_from_npm(tmp_path_factory.mktemp("npm"), CLI) / "buttondown")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare repository with an empty commit."""
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "work"))
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "work"), str(tmp_path / "letter.git"))
    return tmp_path / "letter.git"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path, repository: Path) -> Iterator[web.Web]:
    """A newsletter with a sent issue, an image and a repository, on a socket."""
    port = find_free_port()
    address = f"http://127.0.0.1:{port}"
    made = web.make(tmp_path, database, api_url=address, site_url=address, repository=str(repository))
    made.send(2)
    image = made.settings.site_folder / "images" / "a.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(b"\x89PNG\r\n")
    with web.served(made.app(), port):
        yield made


@pytest.fixture
def run(program: str, newsletter: web.Web, tmp_path: Path) -> Callable[..., Any]:
    """Run the program in a folder of its own; its result."""
    folder = tmp_path / "client"
    folder.mkdir()

    def run(*words: str, status: int = 0) -> Any:
        address = [] if words[0] in ("create", "logout") else ["--base-url", f"{newsletter.settings.api_url}/v1"]
        done = subprocess.run(
            [program, *words, "--json", *address],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_buttondowns_command_line_pulls_the_archive_and_finds_nothing_to_push(
    newsletter: web.Web, run: Callable[..., Any], tmp_path: Path
) -> None:
    key = api_keys.create_key(newsletter.database, "cli")
    assert run("login", "--api-key", "pm_wrong", status=1)["status"] == "error"
    assert run("login", "--api-key", key)["status"] == "logged_in"
    pulled = run("pull")
    assert (pulled["status"], pulled["warnings"]) == ("pulled", [])
    assert {name: (one["created"], one["failed"]) for name, one in pulled["resources"].items() if one["created"]} == {
        "emails": (2, 0),
        "images": (1, 0),
    }
    folder = tmp_path / "client" / "buttondown"
    assert (folder / "media" / "a.png").read_bytes() == b"\x89PNG\r\n"
    assert {path.stem for path in (folder / "emails").glob("*.md")} >= {"2026-11-24-hello"}
    assert run("push", "--dry-run") == {"status": "dry_run", "changes": [], "warnings": []}
    assert run("push")["resources"] == {}
    assert run("create", "--title", "A new one")["slug"] == "a-new-one"
    assert run("push", "--dry-run")["changes"] == [{"resource": "emails", "count": 1}]
    assert run("logout")["status"] == "logged_out"


def test_buttondowns_command_line_writes_a_draft_with_its_picture_to_a_branch(
    newsletter: web.Web, run: Callable[..., Any], tmp_path: Path, repository: Path
) -> None:
    run("login", "--api-key", api_keys.create_key(newsletter.database, "cli"))
    run("pull")
    run("create", "--title", "A new one")
    folder = tmp_path / "client" / "buttondown"
    (folder / "media" / "new.png").write_bytes(PNG)
    draft = folder / "emails" / "a-new-one.md"
    draft.write_text(draft.read_text("utf-8").replace("Write your", "![A chart](../media/new.png)\n\nWrite your"), "utf-8")
    pushed = run("push")
    assert pushed["warnings"] == []
    assert {name: (one["created"], one["failed"]) for name, one in pushed["resources"].items()} == {
        "images": (1, 0),
        "emails": (1, 0),
    }
    branch = "postmerge/a-new-one"
    assert branches(repository) == [branch]
    [image, issue] = git(repository, "diff", "--name-only", "main", branch).split()
    assert f"![A chart](../{image.removeprefix('content/')})" in git(repository, "show", f"{branch}:{issue}")
    run("pull")  # which brings what the server has set, such as the branch
    assert run("push", "--dry-run")["changes"] == []
    draft.write_text(draft.read_text("utf-8") + "Changed.\n", "utf-8")
    assert run("push")["resources"]["emails"]["updated"] == 1
    assert git(repository, "show", f"{branch}:{issue}").endswith("Changed.")
    assert run("push", "--dry-run")["changes"] == []
    assert newsletter.counted("sends") == 1


def test_tap_buttondown_extracts_every_subscriber_and_email(newsletter: web.Web, tmp_path: Path) -> None:
    """Unchanged but for the server's address, which it has no option for."""
    python = install_from_pypi(tmp_path / "env", TAP) / "python"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"api_key": api_keys.create_key(newsletter.database, "tap", "read")}))
    address = f"{newsletter.settings.api_url}/v1"
    program = ELSEWHERE.format(theirs=THEIRS, ours=address)
    done = subprocess.run([python, "-c", program, "--config", config], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    records = Counter(one["stream"] for one in found if one["type"] == "RECORD")
    assert records == {"subscribers": newsletter.counted("subscribers"), "emails": 2}, done.stderr
