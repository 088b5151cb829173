"""A push to a bare repository with the post-receive hook: the mail arrives once, whatever is pushed afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from mailer.db import Database
from mailer.flows.status import status
from tests.conftest import ROOT
from tests.factories import readers, settings
from tests.processes import eventually, running

BODY = "\n\n".join(f"Paragraph {n} says something of its own about the number {n}." for n in range(12))


class Pushing:
    """A writer's clone beside the bare repository it pushes to."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.clone = folder / "clone"
        self.bare = folder / "letter.git"
        self.settings = settings(folder, database_url, redis_url)
        self._git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git(folder, "init", "-q", "-b", "main", str(self.clone))
        self.git("config", "user.email", "writer@example.org")
        self.git("config", "user.name", "Writer")
        self.git("remote", "add", "origin", str(self.bare))
        for name in ("pelicanconf.py", "theme"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.clone / name)
        (self.clone / "content" / "issues").mkdir(parents=True)
        self._install_hook(folder)

    def _install_hook(self, folder: Path) -> None:
        shutil.copy(ROOT / "hooks" / "post-receive", self.bare / "hooks" / "post-receive")
        (self.bare / "hooks" / "post-receive").chmod(0o755)
        values = {
            "DATABASE_URL": self.settings.database_url,
            "REDIS_URL": self.settings.redis_url,
            "POSTMERGE_SENDER": self.settings.sender,
            "POSTMERGE_POSTAL_ADDRESS": self.settings.postal_address,
            "POSTMERGE_SECRET": self.settings.secret,
            "POSTMERGE_HOLD": "0s",
            "POSTMERGE_OUTBOX": str(self.settings.outbox),
            "POSTMERGE_BIN": f"{sys.executable} -m mailer.cli",
            "PYTHONPATH": str(ROOT),
        }
        lines = "".join(f'{name}="{value}"\n' for name, value in values.items())
        (self.bare / "hooks" / "postmerge.env").write_text(lines)

    def write(self, name: str, text: str) -> None:
        (self.clone / "content" / "issues" / name).write_text(text)

    def push(self, message: str) -> str:
        """Commit all and push; what the hook printed."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("push", "origin", "main")

    def git(self, *words: str) -> str:
        return self._git(self.clone, *words)

    def _git(self, folder: Path, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def mails(self) -> int:
        return len(list(self.settings.outbox.glob("*.eml")))


@pytest.fixture
def pushing(tmp_path: Path, database: Database, redis_url: str) -> Iterator[Pushing]:
    readers(database, 3)
    here = Pushing(tmp_path, database.url, redis_url)
    with running("scheduler", here.settings, {}), running("worker", here.settings, {}):
        yield here


def test_a_push_mails_once_and_never_again(pushing: Pushing, database: Database) -> None:
    pushing.write("2020-01-01-old.md", "Title: Old\nDate: 2020-01-01\n\nLong ago.\n")
    assert "recorded as already public" in pushing.push("the archive")
    issue = f"Title: Hello\nDate: {date.today()}\nSend: yes\n\n{BODY}\n"
    pushing.write("hello.md", issue)
    assert "goes to 3 subscribers" in pushing.push("the first issue")
    eventually(lambda: pushing.mails() == 3, 60, "three mails are in the outbox")
    eventually(lambda: status(database)[0].send.state == "finished", 20, "the send is finished")

    assert "Nothing new to send" in pushing.push("nothing changed")
    pushing.write("hello.md", issue.replace("Paragraph 3", "Pragraph 3"))
    assert "Nothing new to send" in pushing.push("an edit")
    pushing.git("mv", "content/issues/hello.md", "content/issues/hello-world.md")
    assert "Nothing new to send" in pushing.push("a rename")
    pushing.git("revert", "--no-edit", "HEAD")
    assert "Nothing new to send" in pushing.push("the rename reverted")
    pushing.git("rm", "-q", "content/issues/hello.md")
    assert "Nothing new to send" in pushing.push("the issue reverted")
    pushing.write("hello.md", issue)
    assert "Nothing new to send" in pushing.push("the issue merged again")
    assert len(status(database)) == 1
    assert pushing.mails() == 3
    assert (pushing.bare / "postmerge-work" / "build" / "site" / "index.html").exists()


def test_a_broken_issue_is_named_to_the_one_who_pushes(pushing: Pushing, database: Database) -> None:
    pushing.write("old.md", "Title: Old\nDate: 2020-01-01\n\nLong ago.\n")
    pushing.push("the archive")
    pushing.write("bad.md", f"Title: Bad\nDate: {date.today()}\nSend: 2030-01-01 09:00\n\nText.\n")
    said = pushing.push("a schedule without a zone")
    assert "bad.md:3" in said
    assert "nothing was published" in said
    assert status(database) == []
