"""Go to production by the book: with the settings that README names, and with no others, an issue is emailed through SES."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from tests.conftest import ROOT
from tests.factories import add_subscribers
from tests.fakes.ses import FakeSes
from tests.processes import eventually

pytestmark = pytest.mark.slow

BODY = "\n\n".join(f"Paragraph {n} says something of its own about the number {n}." for n in range(12))


def named_settings() -> set[str]:
    """The settings that README's steps to production name."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = text[text.index("## Go to production") :].split("\n## ")[0].removeprefix("## ")
    return set(re.findall(r"\b(?:POSTMERGE|DATABASE|REDIS|AWS)_[A-Z_]+", steps))


class Server:
    """A machine with a bare repository, a checkout of it, and one file of settings. Its processes get no other environment."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, ses: FakeSes) -> None:
        self.port = find_free_port()
        self.bare, self.checkout = folder / "letter.git", folder / "checkout"
        self.program = folder / "bin" / "postmerge"
        self.program.parent.mkdir()
        self.program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m mailer.cli "$@"\n')
        self.program.chmod(0o755)
        self.settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "POSTMERGE_TRANSPORT": "ses",
            "POSTMERGE_SITE_URL": f"http://127.0.0.1:{self.port}",
            "POSTMERGE_API_URL": f"http://127.0.0.1:{self.port}",
            "POSTMERGE_SENDER": "The Letter <letter@example.org>",
            "POSTMERGE_POSTAL_ADDRESS": "1 Example Street",
            "POSTMERGE_SECRET": "0123456789abcdef0123456789abcdef",
            "POSTMERGE_BUILD": str(folder / "srv" / "build"),
            "AWS_REGION": "eu-central-1",
        }
        # What a test needs that nobody has in production: another endpoint, no metadata service, no ten minutes of waiting.
        rehearsal = ("AWS_ENDPOINT_URL_SESV2", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED")
        extra = {name: ses.environ[name] for name in rehearsal} | {"POSTMERGE_HOLD": "0s", "POSTMERGE_FIRST_SLICE_WAIT": "0s"}
        self.file = self.bare / "hooks" / "postmerge.env"
        self._make_repository(folder)
        lines = {**self.settings, **extra, "POSTMERGE_BIN": str(self.program)}
        self.file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    def _make_repository(self, folder: Path) -> None:
        self.run(folder, "git", "init", "-q", "--bare", "-b", "main", str(self.bare))
        self.run(folder, "git", "clone", "-q", str(self.bare), str(self.checkout))
        shutil.copy(ROOT / "hooks" / "post-receive", self.bare / "hooks" / "post-receive")
        shutil.copy(ROOT / "pelicanconf.py", self.checkout)
        shutil.copytree(ROOT / "theme", self.checkout / "theme")
        (self.checkout / "content" / "issues").mkdir(parents=True)
        self.write("2020-01-01-old.md", "Title: Old\nDate: 2020-01-01\n\nLong ago.\n")

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
        identity = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {**own, **identity, "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}

    def write(self, name: str, text: str) -> None:
        (self.checkout / "content" / "issues" / name).write_text(text)

    def run(self, folder: Path, *words: str, **more: str) -> str:
        done = subprocess.run(words, cwd=folder, env={**self.environment, **more}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def postmerge(self, *words: str) -> str:
        return self.run(self.checkout, str(self.program), *words, POSTMERGE_ENV_FILE=str(self.file))

    def push(self) -> str:
        self.run(self.checkout, "git", "add", "-A")
        self.run(self.checkout, "git", "commit", "-q", "-m", "an issue")
        return self.run(self.checkout, "git", "push", "origin", "HEAD:main")

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """A process as a supervisor starts it, in the checkout."""
        process = subprocess.Popen(
            [str(self.program), *words], cwd=self.checkout, env={**self.environment, "POSTMERGE_ENV_FILE": str(self.file)}
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def server(tmp_path: Path, database: Database, redis_url: str) -> Iterator[tuple[Server, FakeSes]]:
    add_subscribers(database, 3)
    with FakeSes() as ses:
        yield Server(tmp_path, database.url, redis_url, ses), ses


def test_with_the_settings_that_readme_names_a_push_is_emailed_through_ses(server: tuple[Server, FakeSes]) -> None:
    here, ses = server
    assert set(here.settings) <= named_settings()
    here.postmerge("migrate")
    here.postmerge("adopt")
    with ExitStack() as stack:
        for words in (["serve", "--port", str(here.port)], ["worker"], ["scheduler"]):
            stack.enter_context(here.running(*words))
        here.push()
        here.write("hello.md", f"Title: Hello\nDate: {date.today()}\nSend: yes\n\n{BODY}\n")
        assert "goes to 3 subscribers" in here.push()
        eventually(lambda: len(ses.accepted()) == 3, 60, "three emails are at SES")
        assert {email["to"] for email in ses.accepted()} == {f"subscriber-{n}@example.org" for n in (1, 2, 3)}
