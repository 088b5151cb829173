"""An upgrade in mid-send, and back: the previous version's code runs on the new schema, beside the new code and after it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from mailer.core import migrate
from mailer.core.db import Database
from mailer.core.settings import Settings
from tests.acceptance.test_kills import begin, finished, judge
from tests.factories import settings
from tests.fakes.ses import FakeSes
from tests.processes import ROOT, eventually, running

pytestmark = pytest.mark.slow

SUBSCRIBERS = 4_000


@pytest.fixture
def ses() -> Iterator[FakeSes]:
    with FakeSes() as fake:
        fake.control(latency_s=0.05)
        yield fake


@pytest.fixture
def conf(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    redis.Redis.from_url(redis_url).flushall()
    return settings(tmp_path, database_url, redis_url, transport="ses", connections=16, claim_lease=timedelta(seconds=15))


def _ask_git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _read_migrations(commit: str) -> dict[str, str]:
    """The migrations of a commit: the digest of each by its path."""
    lines = _ask_git("ls-tree", commit, "mailer/migrations/").splitlines()
    return {path: about.split()[2] for about, _, path in (line.partition("\t") for line in lines) if path.endswith(".sql")}


def _find_previous_version() -> str:
    """The last tag, or without one the last commit, whose database becomes today's by newer migrations; "" without one."""
    today = {f"mailer/migrations/{path.name}" for path in migrate.files()}
    head = _read_migrations("HEAD")
    tag = _ask_git("describe", "--tags", "--abbrev=0")
    commits = [tag] if tag else [f"{one}^" for one in _ask_git("log", "--format=%H", "--", "mailer/migrations").split()]
    for commit in commits:
        then = _read_migrations(commit)
        if then and then.items() <= head.items() and then.keys() < today:
            return commit
    return ""


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The code of the previous version."""
    commit = _find_previous_version()
    if not commit:
        pytest.skip("no version in the history of this checkout has a database that can be upgraded")
    folder = tmp_path / "before"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit, "mailer", "api"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def test_the_previous_version_works_on_the_new_schema_and_a_rollback_loses_and_doubles_nobody(
    database: Database, conf: Settings, ses: FakeSes, before: Path
) -> None:
    old = {**ses.environ, "PYTHONPATH": str(before)}
    begin(database, conf, SUBSCRIBERS)
    with running("scheduler", conf, old):
        with running("worker", conf, old):
            eventually(lambda: len(ses.accepted()) > 500, 90, "the old worker sends on the new schema")
            with running("worker", conf, ses.environ):
                eventually(lambda: len(ses.accepted()) > 1_500, 90, "old and new workers send side by side")
        between = len(ses.accepted())
        with running("worker", conf, old):
            eventually(lambda: len(ses.accepted()) > between, 90, "the old worker continues after the rollback")
            eventually(lambda: finished(database), 180, "the send finishes")
    judge(database, ses, SUBSCRIBERS, most_uncertain=0)


def test_the_previous_version_finds_the_new_schema_current(database: Database, conf: Settings, before: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mailer.cli", "migrate"],
        env={"PYTHONPATH": str(before), "PYTHONSAFEPATH": "1", "DATABASE_URL": database.url, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        cwd=before,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "The database is up to date."), done.stderr
