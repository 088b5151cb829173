"""Whatever is wrong, the command line says it in one sentence with what to do, exits 1, and nothing is half-sent."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer.cli import cli
from mailer.core.db import Database
from mailer.flows.sending.send_status import list_send_statuses
from tests import commands
from tests.conftest import ROOT
from tests.factories import add_subscribers, settings
from tests.fakes.ses import FakeSes
from tests.processes import environment

GOOD = f"Title: Hello\nDate: {date.today()}\nSend: yes\n"


class Shell:
    """A newsletter with 20 subscribers and one issue that the ledger knows; runs commands in it."""

    def __init__(self, folder: Path, database: Database, redis_url: str) -> None:
        self.folder = folder
        self.issues = folder / "content" / "issues"
        self.issues.mkdir(parents=True)
        self.write("old.md", "Title: Old\nDate: 2020-01-01\n")
        for name in ("theme", "pelicanconf.py"):
            (folder / name).symlink_to(ROOT / name)
        self.environ = environment(settings(folder, database.url, redis_url), {})

    def write(self, name: str, head: str, body: bytes = b"Text.\n") -> None:
        (self.issues / name).write_bytes(head.encode() + b"\n" + body)

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return commands.run(self.folder, {**self.environ, **environ}, *words)

    def refused(self, *words: str, **environ: str) -> str:
        """The one sentence with which a command that must fail ends."""
        done = self.run(*words, **environ)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture
def shell(tmp_path: Path, database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    add_subscribers(database, 20)
    made = Shell(tmp_path, database, redis_url)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["adopt"], env=made.environ).exit_code == 0
    return made


@pytest.fixture
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        yield fake


@pytest.mark.parametrize(
    ("head", "body", "sentence"),
    [
        (f"Date: {date.today()}\nSend: yes\n", b"x\n", "bad.md:1: `Title:` is missing: add one at the beginning of the file"),
        (GOOD + "Edition: two\n", b"x\n", "bad.md:4: `Edition: two` is not a positive whole number: write it as `Edition: 2`."),
        (GOOD + "Audience: a or\n", b"x\n", "bad.md:4: The audience 'a or' cannot be read at column 5"),
        (GOOD + "Audience: pyhton\n", b"x\n", "names the tag 'pyhton', which no subscriber has: correct `Audience:`"),
        (GOOD, b"Gr\xfc\xdfe\n", "bad.md:5: The file is not UTF-8 here: save it as UTF-8."),
    ],
)
def test_a_broken_issue_is_refused_with_its_place(
    shell: Shell, database: Database, head: str, body: bytes, sentence: str
) -> None:
    shell.write("bad.md", head, body)
    assert sentence in shell.refused("publish")
    assert list_send_statuses(database) == []


@pytest.mark.parametrize("command", ["publish", "plan", "status", "adopt", "worker", "migrate", "serve"])
def test_an_unreachable_database_is_one_sentence(shell: Shell, command: str) -> None:
    said = shell.refused(command, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert "Postgres cannot be reached" in said
    assert "check that it runs and that DATABASE_URL is right." in said


def test_no_database_at_all_is_one_sentence(shell: Shell) -> None:
    assert "DATABASE_URL is not set: give it the Postgres URL, or use `postmerge up`" in shell.refused(
        "status", DATABASE_URL=""
    )


def test_a_database_that_was_not_migrated_is_one_sentence(shell: Shell, database: Database) -> None:
    with database.transaction() as tx:
        tx.run("DELETE FROM schema_migrations")
    assert "run `postmerge migrate`" in shell.refused("status")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_in_use_is_one_sentence(shell: Shell, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = shell.refused(command, "--port", port)
    assert f"Port {port} on 127.0.0.1 is not available" in said
    assert "choose another with `--port`" in said


def test_a_wrong_aws_credential_is_refused_before_anything_is_written(shell: Shell, database: Database, ses: FakeSes) -> None:
    shell.write("new.md", GOOD)
    wrong = {**ses.environ, "POSTMERGE_TRANSPORT": "ses", "AWS_ACCESS_KEY_ID": "AKIAWRONGWRONGWRONG0"}
    said = shell.refused("publish", "--no-gate", **wrong)
    assert "SES does not accept the AWS credentials (UnrecognizedClientException): check AWS_ACCESS_KEY_ID" in said
    assert list_send_statuses(database) == []
    assert ses.accepted() == []


def test_a_missing_content_folder_or_configuration_is_one_sentence(shell: Shell) -> None:
    assert "There is no content folder nowhere: run `postmerge init`" in shell.refused("build", POSTMERGE_CONTENT="nowhere")
    assert "There is no Pelican configuration nowhere.py" in shell.refused("build", POSTMERGE_CONFIG="nowhere.py")
    assert "There is no folder nowhere: run `postmerge init`" in shell.refused("up", "--content", "nowhere")


def test_an_issue_or_a_send_that_does_not_exist_is_one_sentence(shell: Shell) -> None:
    assert "No issue has the key or path 'nothing': `postmerge plan --all` lists them." in shell.refused(
        "publish", "--issue", "nothing"
    )
    assert "There is no send '7': `postmerge status` lists them." in shell.refused("status", "7")
    assert "There is no send 'x'" in shell.refused("cancel", "x")


def test_an_address_that_is_none_is_one_sentence(shell: Shell) -> None:
    said = shell.refused("subscribers", "add", "ada@example", "--confirmed")
    assert "'ada@example' is not an email address" in said
    assert "write it as name@example.org." in said


def test_wrong_usage_exits_2_and_names_the_option(shell: Shell) -> None:
    done = shell.run("publish", "--alow", "many")
    assert done.returncode == 2
    assert "--allow" in done.stderr


def test_a_configuration_with_an_error_is_one_sentence(shell: Shell) -> None:
    (shell.folder / "conf.py").write_text("SITENAME = \n")
    assert "The site cannot be built (SyntaxError" in shell.refused("build", POSTMERGE_CONFIG="conf.py")


def test_a_bad_setting_names_its_variable(shell: Shell) -> None:
    assert "POSTMERGE_HOLD is 'soon': give a number with s, m, h or d" in shell.refused("status", POSTMERGE_HOLD="soon")


def test_a_folder_that_cannot_be_written_is_one_sentence(shell: Shell) -> None:
    (shell.folder / "file").write_text("")
    said = shell.refused("build", POSTMERGE_BUILD=str(shell.folder / "file" / "build"))
    assert "cannot be read or written" in said
