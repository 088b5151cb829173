"""``postmerge init``: a folder becomes a newsletter that builds; what is there is never changed; nothing half made."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml  # type: ignore[import-untyped]

from mailer import __version__
from mailer.commands.publishing import scaffold
from mailer.core import i18n
from mailer.core.setting_values import read_env_file
from tests import commands
from tests.conftest import ROOT

ANSWERS = ("--yes", "--sender", "Anna Müller <anna@example.org>", "--postal-address", "Straße 1, 12345 Köln")
CTRL_C = "\x03"
NAMES = ['Müller\'s "News"', "News {{ 7 * 7 }} <b>", "back\\slash #1", "新聞"]


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    return commands.run(folder, {**clean, **environ}, *words)


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", NAMES)
def test_any_name_gives_a_newsletter_that_builds_under_that_name(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "init", "news", "--name", name, "--ci", "gitlab", *ANSWERS)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "news"
    assert (folder / ".git").is_dir()
    built = run(folder, "build")
    assert built.returncode == 0, built.stdout + built.stderr
    assert "Built 1 issue" in built.stdout
    namespace: dict[str, object] = {}
    exec((folder / "pelicanconf.py").read_text("utf-8").replace("from mailer.defaults import *", ""), namespace)
    assert namespace["SITENAME"] == name
    assert namespace["AUTHOR"] == "Anna Müller"
    workflow = yaml.safe_load((folder / ".gitlab-ci.yml").read_text("utf-8"))
    assert workflow["variables"]["POSTMERGE_POSTAL_ADDRESS"] == "Straße 1, 12345 Köln"
    [included] = workflow["include"]
    assert included["remote"].endswith("/templates/newsletter.yml")
    assert set(included["inputs"]) == {"package"}
    given = read_env_file(folder / ".env")
    assert given["POSTMERGE_SENDER"] == "Anna Müller <anna@example.org>"


def answer(folder: Path, typed: str) -> tuple[int, str]:
    """Run ``postmerge init`` in a terminal, with everything typed ahead; return its exit code and the screen."""
    ours, theirs = pty.openpty()
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "TERM": "dumb"}
    command = [sys.executable, "-m", "mailer.cli", "init"]
    process = subprocess.Popen(command, cwd=folder, env=clean, stdin=theirs, stdout=theirs, stderr=theirs, process_group=0)
    try:
        os.close(theirs)
        os.write(ours, typed.encode())
        screen = b""
        with contextlib.suppress(OSError):  # the terminal is gone when the program ends
            while True:
                if select.select([ours], [], [], 2)[0]:
                    screen += os.read(ours, 4096)
                elif typed == CTRL_C and b"Name of" in screen and b"Stopped" not in screen:
                    # Again: Python may miss one just before it waits for input.
                    os.killpg(process.pid, signal.SIGINT)
        return process.wait(30), screen.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_in_a_terminal_it_asks_for_every_fact_and_again_for_one_that_cannot_be_used(tmp_path: Path) -> None:
    facts = [
        "Köln",
        "All of it.",
        "de",
        "Berlin",
        "Europe/Berlin",
        "Anna <anna@example.org>",
        "Street 1",
        "https://a.example",
        "none",
    ]
    code, screen = answer(tmp_path, "\n".join(facts) + "\n")
    assert code == 0, screen
    assert "'Berlin' is not a time zone" in screen
    config = (tmp_path / "pelicanconf.py").read_text("utf-8")
    for line in ('SITENAME = "Köln"', 'DEFAULT_LANG = "de"', 'TIMEZONE = "Europe/Berlin"', 'SITEURL = "https://a.example"'):
        assert line in config
    assert "Köln, Street 1. Reply to any issue, or write to\nanna@example.org." in (
        tmp_path / "content/pages/privacy.md"
    ).read_text("utf-8")
    statement = (tmp_path / "content/pages/accessibility.md").read_text("utf-8")
    assert "Köln soll für alle lesbar sein." in statement
    assert "schreiben Sie an anna@example.org." in statement
    assert f"Zuletzt geprüft am {i18n.day(datetime.now(ZoneInfo('Europe/Berlin')), 'de')}." in statement
    assert "\nLang:" not in statement


@pytest.mark.parametrize("language", ["en", "de-AT", "es", "fr", "zh", "it"])
def test_the_accessibility_statement_is_in_the_newsletters_language(tmp_path: Path, language: str) -> None:
    facts = scaffold.Newsletter("Sea & Sand", "", language, "UTC", "Sea <sea@example.org>", "", "https://sea.example", "none")
    now = datetime(2026, 11, 30, tzinfo=UTC)
    scaffold.write_files(tmp_path, facts, now)
    made = (tmp_path / "content/pages/accessibility.md").read_text("utf-8")
    ours = (ROOT / "content/pages/accessibility.md").read_text("utf-8")
    assert ("Everyone should be able to read Sea & Sand." in made) == (language in ("en", "it"))
    assert ("\nLang: en\n" in made) == (language == "it")
    assert [made.count(one) for one in ("\n## ", "\n- ", "](https://www.w3.org/TR/WCAG22/)")] == [
        ours.count(one) for one in ("\n## ", "\n- ", "](https://www.w3.org/TR/WCAG22/)")
    ]
    for fact in ("Slug: accessibility\n", "Sea & Sand", "sea@example.org", i18n.day(now, i18n.spoken(language))):
        assert fact in made
    assert "Postmerge Letter" not in made
    assert "newsletter@example.org" not in made


def test_ctrl_c_at_a_question_says_that_nothing_was_changed(tmp_path: Path) -> None:
    code, screen = answer(tmp_path, CTRL_C)
    assert code == 130
    assert "Stopped. Nothing was changed." in screen
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_the_machine_are_private_and_kept_out_of_git(tmp_path: Path) -> None:
    run(tmp_path, "init", *ANSWERS)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    tracked = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert ".env" not in tracked
    assert {"pelicanconf.py", ".env.example", ".github/workflows/newsletter.yml", "README.md"} <= set(tracked)


def test_running_it_again_changes_nothing_and_says_so(tmp_path: Path) -> None:
    run(tmp_path, "init", *ANSWERS)
    before = files(tmp_path)
    again = run(tmp_path, "init", "--yes", "--name", "Another", "--zone", "Asia/Tokyo")
    assert again.returncode == 0
    assert "nothing was changed" in again.stdout
    assert files(tmp_path) == before


def test_an_existing_pelican_site_gets_what_is_missing_and_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "first.md").write_text("Title: First\nDate: 2020-01-01\n\nText.\n")
    (tmp_path / "pelicanconf.py").write_text('SITENAME = "Mine"\nSITEURL = ""\nPLUGINS = ["sitemap"]\n')
    (tmp_path / ".gitignore").write_text("output\n")
    before = files(tmp_path)
    done = run(tmp_path, "init", *ANSWERS)
    assert done.returncode == 0, done.stderr
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not any(name.startswith("content/issues") for name in after)
    assert 'PLUGINS = [*PLUGINS, "mailer.editions.plugin"]' in done.stdout
    assert ".env, build, .postmerge" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--zone", "Berlin"), "'Berlin' is not a time zone: give one such as Europe/Berlin"),
        (("--zone", "../../etc/passwd"), "is not a time zone"),
        (("--language", "german!"), "'german!' is not a language: give a code such as en, de or pt-BR."),
        (("--sender", "Anna"), "write it as Name <address@your.domain>"),
        (("--site-url", "news.example.org"), "give a whole address such as https://news.example.org"),
    ],
)
def test_an_answer_that_cannot_be_used_is_one_sentence_and_writes_nothing(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    done = run(tmp_path, "init", "--yes", *words)
    assert done.returncode == 1
    assert sentence in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_when_a_file_cannot_be_written_nothing_is_half_made(tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file where a folder is needed\n")
    done = run(tmp_path, "init", *ANSWERS)
    assert done.returncode == 1
    assert "Nothing was changed" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(files(tmp_path)) == [".github"]
    assert not (tmp_path / "content").exists()


def test_when_it_is_interrupted_nothing_is_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newsletter = scaffold.Newsletter("News", "", "en", "UTC", "a@example.org", "", "https://a.example", "github")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "chmod", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scaffold.write_files(tmp_path, newsletter, datetime.now(UTC))
    assert list(tmp_path.iterdir()) == []


def test_the_workflow_names_our_action_at_the_commit_that_was_asked_for(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    run(tmp_path, "init", *ANSWERS, "--pin", commit)
    text = (tmp_path / ".github/workflows/newsletter.yml").read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    uses = [step["uses"] for job in jobs.values() for step in job["steps"]]
    assert uses.count(f"{scaffold.REPOSITORY}@{commit}") == 6
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    wanted = {step["with"]["command"] for job in jobs.values() for step in job["steps"] if scaffold.REPOSITORY in step["uses"]}
    for command in wanted:
        assert command in action["inputs"]["command"]["description"]
    assert not any("secrets." in str(job) for name, job in jobs.items() if name not in ("publish", "report", "remove-preview"))
    assert "secrets.POSTMERGE_API_KEY" not in str(jobs["report"]) + str(jobs["remove-preview"])
    forks = yaml.safe_load((tmp_path / ".github/workflows/newsletter-forks.yml").read_text("utf-8"))
    assert forks[True]["workflow_run"]["workflows"] == [
        yaml.safe_load(text)["name"]
    ]  # YAML reads the key `on` as a truth value
    [posting] = forks["jobs"]["comment"]["steps"]
    assert posting == {"uses": f"{scaffold.REPOSITORY}@{commit}", "with": {"command": "comment-fork"}}
    assert forks["jobs"]["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_without_a_pin_the_workflow_names_the_commit_that_the_program_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    newsletter = scaffold.Newsletter("News", "", "en", "UTC", "Ä <a@example.org>", "", "https://a.example", ci)
    for commit, named in (("a" * 40, "a" * 40), ("", f"v{__version__}")):
        monkeypatch.setattr(scaffold, "_find_own_commit", lambda found=commit: found)
        folder = tmp_path / named
        scaffold.write_files(folder, newsletter, datetime.now(UTC))
        text = sorted(folder.rglob("*.yml"))[-1].read_text("utf-8")
        assert f"{scaffold.REPOSITORY}@{named}" in text or f"{scaffold.REPOSITORY}/{named}/templates/newsletter.yml" in text
        assert ("git+https" in text) is bool(commit and ci == "gitlab")
        assert "Ä <a@example.org>" in text


def test_the_program_needs_the_same_python_as_its_workflows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    oldest = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    assert tuple(map(int, action["inputs"]["python-version"]["default"].split("."))) >= oldest
