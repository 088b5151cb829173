"""``make run`` as a newcomer lives it: everything starts, the newest issue goes out once, Ctrl-C leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mailer.fakes.free_ports import find_free_port
from tests.conftest import ROOT
from tests.processes import eventually
from tests.services import scratch

pytestmark = pytest.mark.slow

OURS = (sys.executable, "-m", "mailer.cli")


class Stack:
    """One ``postmerge up`` in a process of its own, with the services it brings itself."""

    def __init__(self, home: Path, *options: str, cwd: Path = ROOT, program: Path | None = None) -> None:
        self.port = find_free_port()
        ours = ("DATABASE_URL", "REDIS_URL", "POSTMERGE_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.home = home
        self.said = ""
        self.process = subprocess.Popen(
            [*([program] if program else OURS), "up", "--home", str(home), "--port", str(self.port), *options],
            cwd=cwd,
            env=environ if program else {**environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def started(self) -> Stack:
        eventually(lambda: "Press Ctrl-C to stop." in self.said or self.process.poll() is not None, 90, "the stack started")
        assert self.process.poll() is None, self.said
        return self

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **fields: str) -> str:
        data = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=10) as answer:
            return str(answer.read().decode())

    def beside(self, name: str) -> str:
        """A page of the live preview, by its name in the list of addresses."""
        found = re.search(rf"{name}\s+(http://127\.0\.0\.1:\d+/\S*)", self.said)
        assert found, self.said
        with urllib.request.urlopen(found[1], timeout=120) as answer:
            return str(answer.read().decode())

    def family(self) -> list[psutil.Process]:
        """All that runs because of it: its children, and the servers that work in its folder."""
        found = {one.pid: one for one in psutil.Process(self.process.pid).children(recursive=True)}
        for one in psutil.process_iter(["cmdline"]):
            if str(self.home) in " ".join(one.info["cmdline"] or []):
                found[one.pid] = one
        return list(found.values())

    def interrupt(self) -> int:
        """Ctrl-C, as a terminal sends it."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home() -> Iterator[Path]:
    with scratch("it's a stack (new)") as folder:
        yield folder
        for one in psutil.process_iter(["cmdline"]):
            if str(folder) in " ".join(one.info["cmdline"] or []):
                with contextlib.suppress(psutil.Error):
                    one.kill()


def emails(home: Path) -> int:
    return len(list(home.rglob("*.eml")))


def test_everything_starts_once_on_a_folder_sends_the_newest_issue_once_and_cleans_up(home: Path) -> None:
    stack = Stack(home).started()
    assert "goes to 5 subscribers" in stack.said
    assert f"http://127.0.0.1:{stack.port}/outbox" in stack.said
    eventually(lambda: emails(home) == 5, 30, "five emails are in the outbox")
    eventually(lambda: "finished" in stack.get("/ledger"), 20, "the ledger says so")
    assert 'action="' in stack.get("/subscribe")
    assert "<rss" in stack.get("/feeds/all.rss.xml")
    assert "openapi" in stack.get("/openapi.json")
    assert "The answer that never came" in stack.get("/outbox")
    assert "Die Antwort, die nie kam" in stack.get("/outbox")
    assert "<h1>Write</h1>" in stack.beside("Live preview")
    assert "mail-button-en-dark" in stack.beside("Gallery")
    family = stack.family()
    assert len(family) >= 6
    second = Stack(home)
    assert second.process.wait(60) == 1
    eventually(lambda: "Another stack is already running in" in second.said, 5, "the second stack on this folder says why")
    assert stack.interrupt() == 0
    assert "All processes have ended" in stack.said
    _, alive = psutil.wait_procs(family, 5)
    assert alive == []

    again = Stack(home).started()
    assert "Nothing new to send" in again.said
    again.kill()
    third = Stack(home).started()
    assert "Nothing new to send" in third.said
    assert emails(home) == 5
    assert third.interrupt() == 0


def test_another_archive_runs_beside_the_first_with_things_of_its_own(home: Path) -> None:
    content = home / "other" / "content"
    content.mkdir(parents=True)
    (content / "first.md").write_text("Title: Elsewhere\nDate: 2026-11-20\n\nHello from elsewhere.\n")
    stack = Stack(home, "--content", str(content)).started()
    eventually(lambda: emails(home) == 5, 30, "five emails are in the outbox")
    assert "Elsewhere" in stack.get("/issues/first/")
    assert re.search(r"first: “Elsewhere” goes to 5 subscribers", stack.said)
    assert stack.interrupt() == 0
