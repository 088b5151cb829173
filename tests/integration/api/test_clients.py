"""Programs written for Buttondown, unchanged, against this server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from tests import web

CLI = "@buttondown/cli@1.1.0"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Buttondown's command line: the one on the PATH, else installed by npm."""
    npm = shutil.which("npm")
    if found := shutil.which("buttondown"):
        return found
    if npm is None:
        pytest.skip("needs npm, which is not here")
    folder = tmp_path_factory.mktemp("npm")
    install = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", CLI]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip(f"npm cannot install {CLI}")
    return str(folder / "node_modules" / ".bin" / "buttondown")


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Iterator[web.Web]:
    """A newsletter with a sent issue and an image, on a socket."""
    port = find_free_port()
    address = f"http://127.0.0.1:{port}"
    made = web.make(tmp_path, database, api_url=address, site_url=address)
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
