"""A push to a bare repository with the post-receive hook: the email arrives once, whatever is pushed afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.flows.sending.send_status import list_send_statuses
from tests.conftest import ROOT
from tests.factories import add_subscribers, settings
from tests.processes import eventually, running

pytestmark = pytest.mark.slow

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
        self.env_file = self.bare / "hooks" / "postmerge.env"
        self.env_file.write_text(
            f"DATABASE_URL={self.settings.database_url}\n"
            f"REDIS_URL={self.settings.redis_url}\n"
            f"POSTMERGE_SENDER={self.settings.sender}\n"
            f"POSTMERGE_POSTAL_ADDRESS={self.settings.postal_address}\n"
            f"POSTMERGE_SECRET={self.settings.secret}\n"
            "POSTMERGE_HOLD=0s\n"
            f"POSTMERGE_OUTBOX={self.settings.outbox}\n"
            f'export POSTMERGE_BIN = "{self.program(folder)}" # on no PATH\r\n'
        )

    def program(self, folder: Path) -> Path:
        """The program as an installation has it: one executable."""
        file = folder / "postmerge"
        file.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m mailer.cli "$@"\n')
        file.chmod(0o755)
        return file

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

    def emails(self) -> int:
        return len(list(self.settings.outbox.glob("*.eml")))


@pytest.fixture
def pushing(tmp_path: Path, database: Database, redis_url: str) -> Iterator[Pushing]:
    add_subscribers(database, 3)
    here = Pushing(tmp_path, database.url, redis_url)
    with running("scheduler", here.settings, {}), running("worker", here.settings, {}):
        yield here


def test_a_push_sends_once_and_never_again(pushing: Pushing, database: Database) -> None:
    pushing.write("2020-01-01-old.md", "Title: Old\nDate: 2020-01-01\n\nLong ago.\n")
    assert "recorded as already published" in pushing.push("the archive")
    issue = f"Title: Hello\nDate: {date.today()}\nSend: yes\n\n{BODY}\n"
    pushing.write("hello.md", issue)
    assert "goes to 3 subscribers" in pushing.push("the first issue")
    eventually(lambda: pushing.emails() == 3, 60, "three emails are in the outbox")
    eventually(lambda: list_send_statuses(database)[0].send.state == "finished", 20, "the send is finished")

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
    assert len(list_send_statuses(database)) == 1
    assert pushing.emails() == 3
    assert (pushing.bare / "postmerge-work" / "build" / "site" / "index.html").exists()


def test_a_broken_issue_is_named_to_the_one_who_pushes(pushing: Pushing, database: Database) -> None:
    pushing.write("old.md", "Title: Old\nDate: 2020-01-01\n\nLong ago.\n")
    pushing.push("the archive")
    pushing.write("bad.md", f"Title: Bad\nDate: {date.today()}\nSend: 2030-01-01 09:00\n\nText.\n")
    said = pushing.push("a schedule without a zone")
    assert "bad.md:3" in said
    assert "nothing was published" in said
    assert list_send_statuses(database) == []


# Each line is allowed; a shell that read them would fail, run something, or take other values.
AWKWARD = """\ufeff# Settings of "The Letter" <letter@example.org>
export POSTMERGE_POSTAL_ADDRESS='$HOME & `touch oops` ${x} #1; Köln'   # where we are\r

POSTMERGE_SENDER="The Letter, weekly" <letter@example.org>\r
SENTRY_DSN=
POSTMERGE_TOPICS = python, it's $(touch oops)
"""


def test_the_hook_takes_every_line_that_the_settings_file_allows(pushing: Pushing) -> None:
    lines = [line for line in pushing.env_file.read_text().splitlines() if "SENDER" not in line and "POSTAL" not in line]
    pushing.env_file.write_text("\n".join([AWKWARD, *lines]), encoding="utf-8")
    pushing.write("2020-01-01-old.md", "Title: Old\nDate: 2020-01-01\n\nLong ago.\n")
    pushing.push("the archive")
    pushing.write("hello.md", f"Title: Hello\nDate: {date.today()}\nSend: yes\n\n{BODY}\n")
    assert "goes to 3 subscribers" in pushing.push("the first issue")
    eventually(lambda: pushing.emails() == 3, 60, "three emails are in the outbox")
    email = message_from_bytes(next(pushing.settings.outbox.glob("*.eml")).read_bytes(), policy=default)
    assert email["From"].addresses[0].display_name == "The Letter, weekly"
    assert list(pushing.bare.rglob("oops")) == []


class Bare:
    """A bare repository with one commit and the hook, which calls a program with a configurable exit code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "letter.git"
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run([*git, "init", "-q", "-b", "main", str(folder / "clone")], check=True)
        (folder / "clone" / "file").write_text("x")
        subprocess.run([*git, "add", "file"], cwd=folder / "clone", check=True)
        subprocess.run([*git, "commit", "-q", "-m", "x"], cwd=folder / "clone", check=True)
        subprocess.run([*git, "clone", "-q", "--bare", str(folder / "clone"), str(self.folder)], check=True)
        shutil.copy(ROOT / "hooks" / "post-receive", self.folder / "hooks" / "post-receive")
        self.program = folder / "program"
        self.program.write_text("#!/bin/sh\ncat file; echo $*\n")
        self.program.chmod(0o755)
        self.set(f"POSTMERGE_BIN='{self.program}'")

    def set(self, lines: str) -> None:
        (self.folder / "hooks" / "postmerge.env").write_text(lines)

    def push(self, ref: str = "refs/heads/main", new: str = "1" * 40) -> tuple[int, str]:
        """What the hook's exit code is and what it says when git calls it."""
        hook = ["sh", str(self.folder / "hooks" / "post-receive")]
        done = subprocess.run(hook, cwd=self.folder, input=f"{'0' * 40} {new} {ref}\n", capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(tmp_path)


def test_the_hook_publishes_the_newest_state_of_the_branch(bare: Bare) -> None:
    assert bare.push() == (0, "xpublish\n")
    assert bare.push(new="0" * 40) == (0, "")
    assert bare.push("refs/heads/draft") == (0, "postmerge: draft is not published, only main is.\n")


def test_a_hook_whose_program_fails_says_that_nothing_was_published_and_fails(bare: Bare) -> None:
    bare.program.write_text("#!/bin/sh\necho the reason; exit 3\n")
    code, said = bare.push()
    assert (code, said.startswith("the reason\n")) == (1, True)
    assert "nothing was published: `postmerge publish` ended with exit code 3" in said


def test_a_hook_without_its_program_says_that_nothing_was_published_and_fails(bare: Bare) -> None:
    bare.set("POSTMERGE_BIN=/nowhere/postmerge")
    code, said = bare.push()
    assert (code, "nothing was published: there is no program /nowhere/postmerge" in said) == (1, True)


def test_a_hook_that_cannot_check_out_calls_no_program_and_fails(bare: Bare) -> None:
    bare.set(f"POSTMERGE_BIN='{bare.program}'\nPOSTMERGE_BRANCH=other")
    code, said = bare.push("refs/heads/other")
    assert (code, "publish\n" in said) == (1, False)
    assert "nothing was published: the branch other could not be checked out" in said


def test_a_hook_that_cannot_write_its_folder_says_that_nothing_was_published_and_fails(bare: Bare) -> None:
    bare.set(f"POSTMERGE_BIN='{bare.program}'\nPOSTMERGE_WORK=/dev/null/work # no folder")
    code, said = bare.push()
    assert (code, "nothing was published: the folder /dev/null/work cannot be made" in said) == (1, True)
