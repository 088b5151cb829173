"""What lies under deploy/ names commands and settings that exist, and a socket unit's port outlives a restart."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from mailer.cli import COMMANDS
from mailer.core.db import Database
from tests.conftest import ROOT
from tests.factories import settings
from tests.processes import environment

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
KNOWN = {name for names in COMMANDS.values() for name in names}
SETTINGS = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    started = re.findall(r"^ExecStart=/opt/postmerge/bin/postmerge (\S+)(?: .*)?$", unit.read_text(), re.MULTILINE)
    assert len(started) == 1
    assert started[0] in KNOWN
    assert set(re.findall(r"^Environment=([A-Z_]+)=", unit.read_text(), re.MULTILINE)) <= SETTINGS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_in_the_units(tmp_path: Path) -> None:
    program = tmp_path / "postmerge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS:
        text = unit.read_text().replace("/opt/postmerge/bin/postmerge", str(program))
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(re.sub(r"^(User|Group)=.*\n", "", text, flags=re.MULTILINE))
    names = [str(path) for path in tmp_path.iterdir() if path != program]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "postmerge" in line]
    assert complaints == []


def test_the_compose_file_runs_every_process_with_settings_that_exist() -> None:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    services: dict[str, Any] = found["services"]
    ours = {name: one for name, one in services.items() if one.get("image") == "postmerge"}
    assert {one["command"][0] for one in ours.values()} == {"migrate", "serve", "worker", "scheduler", "events"}
    for one in ours.values():
        assert one["command"][0] in KNOWN
        own = {name for name in one["environment"] if not name.startswith("AWS_")}
        assert own <= SETTINGS
        assert one["read_only"] is True
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (DEPLOY / "compose.yaml").read_text("utf-8")))
    assert len(asked) == 5, f"the guide promises five settings: {sorted(asked)}"
    [network] = found["networks"]["default"]["ipam"]["config"]
    assert ours["serve"]["environment"]["POSTMERGE_TRUSTED_PROXIES"] == network["subnet"]


def test_what_the_image_copies_is_in_the_build_context() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in allowed)
    packed = re.findall(r'^"([^"]+)" = "mailer/', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    lacking = {name for name in packed if name not in allowed and name.split("/")[0] not in allowed}
    assert lacking == set(), "the wheel of the image lacks files"
    assert "requirements-server.txt" in allowed


START = """
import os, sys
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.execv(sys.executable, [sys.executable, "-m", "mailer.cli", "serve", "--until-eof", "--port", "1", "--processes", "1"])
"""


@pytest.mark.slow
def test_a_request_that_comes_while_the_server_restarts_waits_for_the_next_one(
    tmp_path: Path, database: Database, redis_url: str
) -> None:
    environ = environment(settings(tmp_path, database.url, redis_url), {})
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:

        def start() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", START, str(listening.fileno())]
            return subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, pass_fds=[listening.fileno()])

        for _ in range(2):
            with ask_health(listening) as early:
                process = start()
                assert b"200 OK" in early.recv(4096)
            assert process.stdin
            process.stdin.close()
            assert process.wait(30) == 0


def ask_health(listening: socket.socket) -> socket.socket:
    """A request that nobody accepts yet: it waits in the socket's backlog."""
    client = socket.create_connection(listening.getsockname()[:2], timeout=60)
    client.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    return client
