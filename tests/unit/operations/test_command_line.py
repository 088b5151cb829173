"""The command line as people meet it: the groups of its help, and what a mistake is answered with."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailer import cli
from mailer.commands import common
from tests.conftest import ROOT


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mailer.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_every_command_is_in_one_group_of_the_help() -> None:
    grouped = [name for names in cli.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(name for names in cli.COMMANDS.values() for name in names)


def test_the_help_has_80_columns_and_lists_every_group() -> None:
    shown = run("--help").stdout
    assert [title for title in cli.GROUPS if f"\n{title}:\n" in shown] == list(cli.GROUPS)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("words", [(), ("subscribers",), ("sequences",)])
def test_no_summary_of_a_command_is_cut(words: tuple[str, ...]) -> None:
    listed = run(*words, "--help").stdout.partition(":\n  ")[2]
    assert listed
    assert [line for line in listed.splitlines() if line.rstrip().endswith(("...", "…"))] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("plann",),
            "error: There is no command 'plann'. Did you mean `postmerge plan`? `postmerge --help` shows",
        ),
        (("tset",), "error: There is no command 'tset'. Did you mean `postmerge test`? `postmerge --help` shows"),
        (("zzz",), "error: There is no command 'zzz'. `postmerge --help` shows"),
        (("plan", "--foo"), "error: No such option '--foo'. `postmerge plan --help` shows"),
        (("test",), "error: Missing argument 'ISSUE'. `postmerge test --help` shows"),
    ],
)
def test_a_mistake_is_one_line_that_leads_on(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (2, "", f"{said} what it takes.")


def test_a_sentence_is_one_line_in_a_pipe_and_wrapped_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = "No reviewer was sent content/issues/2026-11-30-harbour-light.md: run `postmerge test 2026-11-30-harbour-light`."
    common.out.print(said)
    monkeypatch.setattr(common.out, "_force_terminal", True)
    common.out.print(said)
    assert [len(line.rstrip()) <= 80 for line in capsys.readouterr().out.splitlines()] == [False, True, True]


def test_a_folder_that_cannot_be_written_is_one_sentence_whoever_meets_it_and_other_errors_are_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "cli", fail)
    error = OSError(errno.EROFS, "Read-only file system", "/news/.postmerge")
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err == (
        "error: /news/.postmerge cannot be read or written (Read-only file system): check its permissions and the space on its"
        " disk.\n"
    )
    error = OSError(errno.EPIPE, "Broken pipe")
    with pytest.raises(OSError, match="Broken pipe"):
        cli.main()


def complete(folder: Path, line: str) -> list[str]:
    """What bash is offered for an unfinished line."""
    own = {"_POSTMERGE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    environ = {**os.environ, **own, "PYTHONPATH": str(ROOT), "POSTMERGE_CONTENT": "content"}
    code = "from mailer.cli import main; import sys; sys.argv = ['postmerge']; main()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)
    return [one.partition(",")[2] for one in done.stdout.splitlines() if one]


def test_the_shell_completes_commands_keys_and_paths(tmp_path: Path) -> None:
    issues = tmp_path / "content" / "issues"
    issues.mkdir(parents=True)
    (issues / "2026-11-24-hello.md").write_text("Title: Hello\n\nText\n")
    (issues / "2026-11-25-other.md").write_text("Title: Other\nId: the-other\n\nText\n")
    assert complete(tmp_path, "postmerge ver") == ["verify"]
    assert complete(tmp_path, "postmerge test ") == ["the-other", "2026-11-24-hello"]
    assert complete(tmp_path, "postmerge publish --issue the") == ["the-other"]
    assert complete(tmp_path, "postmerge test content/issues/2026-11-24") == ["content/issues/2026-11-24-hello.md"]
    assert complete(tmp_path, "postmerge report ") == []
