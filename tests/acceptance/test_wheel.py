"""The wheel alone, in an empty environment outside the clone, leads from an empty folder to an email in the outbox."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.acceptance.test_docs import commands, emails, subscribe, unsubscribe
from tests.acceptance.test_stack import Stack
from tests.conftest import ROOT
from tests.processes import eventually
from tests.services import scratch

pytestmark = pytest.mark.slow
UV = Path(sys.executable).parent / "uv"
MAX_INSTALLED_BYTES = 250_000_000  # without extras


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with scratch("wheel") as folder:
        yield folder


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    """The wheel of this checkout, or the one that a release has built."""
    if given := os.environ.get("POSTMERGE_WHEEL"):
        return Path(given)
    run(place, UV, "build", "-q", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", place, ROOT)
    [found] = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def program(place: Path, wheel: Path) -> Path:
    """``postmerge`` of an environment that has the wheel and what it requires, without extras."""
    run(place, UV, "venv", "-q", "--python", sys.executable, place / "env")
    install(place, str(wheel))
    return place / "env" / "bin" / "postmerge"


def install(place: Path, what: str) -> None:
    run(place, UV, "pip", "install", "-q", "--python", place / "env" / "bin" / "python", "-c", ROOT / "requirements.txt", what)


def run(folder: Path, *words: str | Path, fails: bool = False) -> str:
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "POSTMERGE", "DATABASE"))}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True)
    assert bool(done.returncode) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_carries_theme_templates_migrations_and_nothing_of_ours_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("mailer/theme/templates/base.html", "mailer/migrations/0001_tables.sql", "api/templates/base.html"):
        assert name in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mailer", "api"}


def test_an_installation_without_extras_is_small_and_says_how_to_get_the_rest(place: Path, program: Path) -> None:
    files = [path for path in (place / "env").rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files)
    assert size < MAX_INSTALLED_BYTES, f"{size / 1e6:.0f} MB"
    run(place, program, "init", "small", "--yes")
    assert "uv tool install 'postmerge[local,preview]'" in run(place / "small", program, "up", fails=True)
    assert "Built 1 issue" in run(place / "small", program, "build")


def test_an_empty_folder_names_init(place: Path, program: Path) -> None:
    (place / "empty").mkdir()
    for words in (("build",), ("plan",), ("check",), ("new", "Title")):
        assert "run `postmerge init`" in run(place / "empty", program, *words, fails=True)


def test_the_tutorial_leads_from_an_empty_folder_to_an_issue_that_is_sent_once(
    place: Path, wheel: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Anna")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "anna@example.org")
    installing, starting, entering, running, *steps = commands("docs/tutorial/first-newsletter.md")
    assert installing.startswith("uv tool install 'postmerge[local,preview]'")
    install(place, f"{wheel}[local,preview]")
    shell(place, f"{starting} --yes --ci server --postal-address 'Example Street 1'")
    assert (entering, running) == ("cd my-newsletter", "postmerge up")
    folder = place / "my-newsletter"
    stack = Stack(folder / ".postmerge", cwd=folder, program=program).started()
    assert "My newsletter" in stack.get("/")
    subscribe(stack, folder, "me@example.org")
    outputs = {step: walk(folder, step) for step in steps}
    assert [step.split()[1] for step in steps] == ["new", "check", "plan", "add", "commit", "publish", "status", "publish"]
    assert "6 subscribers" in outputs["postmerge plan"]
    assert "Nothing new to send" in outputs["postmerge publish"]
    eventually(lambda: len(emails(folder, "Hello from my machine")) == 6, 30, "the issue reached all six subscribers")
    unsubscribe(stack, folder, "me@example.org")
    assert stack.interrupt() == 0
    assert "DATABASE_URL is not set" in run(folder, program, "status", fails=True)


def walk(folder: Path, step: str) -> str:
    """Run a step of the tutorial, and do the writing that follows ``postmerge new``; return the output."""
    said = shell(folder, step)
    if step.startswith("postmerge new"):
        issue = folder / said.splitlines()[0]
        text = issue.read_text(encoding="utf-8").replace("Status: draft\n", "")
        issue.write_text(text + "The first sentence of the first issue.\n", encoding="utf-8")
    return said


def shell(folder: Path, line: str) -> str:
    return run(folder, "bash", "-c", line)


def test_a_newsletter_may_have_folders_of_our_names_and_quotes_in_its_own(place: Path, wheel: Path, program: Path) -> None:
    install(place, f"{wheel}[local,preview]")
    folder = place / "Anna's Straßen"
    run(place, program, "init", folder.name, "--yes")
    for name in ("mailer", "api"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('the newsletter has this folder for itself')\n")
    stack = Stack(folder / ".postmerge", cwd=folder, program=program).started()
    assert "Anna&#39;s Straßen" in stack.get("/")
    assert "0001" not in stack.said
    [issue] = (folder / "content" / "issues").iterdir()
    shown = run(folder, program, "write", issue)
    assert f"#issues%2F{date.today():%Y-%m-%d}-hello.md" in shown
    assert "of the running `postmerge up`" in shown
    eventually(lambda: len(list(folder.rglob("*.eml"))) == 5, 30, "the sample reached the subscribers")
    assert stack.interrupt() == 0
