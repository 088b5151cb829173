"""Every command of the guides and the tutorial runs, in order, on a newsletter of its own."""

from __future__ import annotations

import os
import quopri
import re
import shlex
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import click
import pytest

from mailer.cli import cli
from mailer.commands.common import MAX_SUMMARY_CHARS
from tests import commands as command_runner
from tests.acceptance.test_stack import Stack, home
from tests.conftest import ROOT
from tests.processes import eventually

__all__ = ["home"]

GUIDES = ("docs/how-to/writing.md", "docs/how-to/operating.md", "docs/how-to/subscribers.md")


def commands(guide: str) -> list[str]:
    """Lines after ``$`` in the console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / guide).read_text(encoding="utf-8"), re.DOTALL)
    return [line[2:].strip() for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def newsletter(tmp_path: Path) -> Path:
    """Create a newsletter with one old issue."""
    for name in ("pelicanconf.py", "theme", "mailer"):
        (tmp_path / name).symlink_to(ROOT / name)
    issues = tmp_path / "content" / "issues"
    issues.mkdir(parents=True)
    shutil.copytree(ROOT / "content" / "pages", tmp_path / "content" / "pages")
    (issues / "2020-01-01-old.md").write_text("Title: Old\nDate: 2020-01-01\n\nLong ago.\n")
    return tmp_path


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_of_the_guide_runs(guide: str, newsletter: Path, database_url: str, redis_url: str) -> None:
    found = commands(guide)
    assert len(found) >= 4
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "POSTMERGE_SENDER": "The Letter <letter@example.org>",
        "POSTMERGE_POSTAL_ADDRESS": "1 Example Street",
        "POSTMERGE_SECRET": "0123456789abcdef0123456789abcdef",
        "PYTHONPATH": str(ROOT),
    }
    run(newsletter, environment, "postmerge adopt")
    run(newsletter, environment, "postmerge subscribers add grace@example.org --confirmed")
    today = date.today().isoformat()
    issue = newsletter / "content" / "issues" / "2026-11-24-hello.md"
    for command in found:
        if command not in ("postmerge migrate", "postmerge adopt"):
            issue.write_text(f"Title: Hello\nDate: {today}\nSend: yes\n\nThe first line.\n")
        run(newsletter, environment, command)


def emails(copy: Path, subject: str, recipient: str = "") -> list[str]:
    """Return the emails in the outbox with this subject, to this recipient."""
    texts = [path.read_text(encoding="utf-8") for path in copy.rglob("*.eml")]
    return [text for text in texts if f"Subject: {subject}" in text and (not recipient or f"To: {recipient}" in text)]


def subscribe(stack: Stack, copy: Path, address: str) -> None:
    """Fill in the sign-up form and confirm."""
    form = stack.get("/subscribe")
    time.sleep(2.1)  # forms that are filled in within two seconds are a bot's
    stack.post("/subscribe", email=address, **dict(re.findall(r'name="(token)" value="([^"]*)"', form)))
    eventually(lambda: bool(emails(copy, "Confirm", address)), 20, "the confirmation email arrived")
    stack.post(find_link(emails(copy, "Confirm", address)[0], "confirm"))


def unsubscribe(stack: Stack, copy: Path, address: str) -> None:
    """Follow the link in the email and click the button."""
    answer = stack.post(find_link(emails(copy, "Hello from my machine", address)[0], "leave"))
    assert "unsubscribed" in answer


def find_link(email: str, page: str) -> str:
    """Return the path of a link in an email."""
    text = quopri.decodestring(email.encode()).decode()
    found = re.search(rf"http://127\.0\.0\.1:\d+(/{page}/[\w.-]+)", text)
    assert found, text
    return found[1]


def run(folder: Path, environment: dict[str, str], command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "postmerge", f"only postmerge's commands can be tested: {command}"
    done = command_runner.run(folder, environment, *words[1:])
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"


def test_every_command_of_the_program_has_help_with_an_example() -> None:
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert len(names) > 20
    for name in names:
        command = cli.get_command(context, name)
        assert command
        children = getattr(command, "commands", {name: command})
        for child in children.values():
            assert "Example" in (child.help or ""), f"{name} {child.name}"


def test_the_list_of_commands_says_what_each_of_them_says_of_itself() -> None:
    """It is read from their sources, so that it need not load them."""
    shown = subprocess.run([sys.executable, "-m", "mailer.cli", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    joined = " ".join(shown.split())
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command
        assert f" {name} {command.get_short_help_str(MAX_SUMMARY_CHARS)}" in joined, name


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "mailer" / "README.md"])
OURS = re.compile(
    r"(?<![\w./-])(?:\.\./)?(?:mailer|api|bench|tests|theme|hooks|docs|flows|store|checks|workbench|transports|rehearsal)/[\w./-]+\.\w+"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_link_and_command_that_a_page_names_exists(page: Path) -> None:
    text = re.sub(r"^(```|~~~~)\w*\n.*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", text)
    text = re.sub(r"`[^`\n]+`", "", text)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = [name for span in spans for name in OURS.findall(span)]
    assert [
        name for name in named if not any((folder / name).exists() for folder in (ROOT, ROOT / "mailer", page.parent))
    ] == []
    commands = {span.split()[1] for span in spans if re.match(r"postmerge [a-z]", span)}
    assert commands - set(cli.list_commands(click.Context(cli))) == set()


def test_the_architecture_names_every_folder_of_the_program() -> None:
    page = (ROOT / "mailer" / "README.md").read_text(encoding="utf-8")
    folders = [path.name for path in (ROOT / "mailer").iterdir() if path.is_dir() and not path.name.startswith("__")]
    assert [name for name in folders if f"`{name}/`" not in page] == []
