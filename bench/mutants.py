"""Would the tests notice? Makes one small change to the code at a time and runs the tests that must fail for it.

    .venv/bin/python -m bench.mutants
    .venv/bin/python -m bench.mutants --only checkout --only bench.mutants --slice 1/4

``bench/mutants.toml`` lists the changes: the file, the text before and after, and the tests that must notice. A change that
makes no difference is listed too, with the reason. Exits 1 when less than 95 % of the others are noticed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import services

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_suffix(".toml")
MIN_SHARE = 0.95  # of the changes that make a difference
MAX_SECONDS = 300  # for the tests of one change; a hang is noticed too
_SKIPPED = shutil.ignore_patterns(".git", ".venv", ".postmerge", "build", "__pycache__", ".*_cache", ".hypothesis")


@dataclass(frozen=True)
class Change:
    """One change of one file. ``equivalent`` says why no test can notice it; then there are no ``tests``."""

    file: str
    before: str
    after: str
    tests: tuple[str, ...] = ()
    equivalent: str = ""

    @property
    def name(self) -> str:
        """File and first changed words, for people."""
        return f"{self.file}: {' '.join((self.before or self.after).split())[:70]}"


def read(path: Path = LIST) -> list[Change]:
    """All changes of the list. Raises ValueError for one with neither tests nor a reason."""
    changes = [Change(**{**raw, "tests": tuple(raw.get("tests", ()))}) for raw in tomllib.loads(path.read_text())["change"]]
    if wrong := [one.name for one in changes if bool(one.tests) == bool(one.equivalent)]:
        raise ValueError(f"either tests or a reason why it is equivalent: {wrong}")
    return changes


def applied(change: Change, text: str) -> str:
    """The file's text with the change made. Raises ValueError when the text before is not there exactly once."""
    if (found := text.count(change.before)) != 1:
        raise ValueError(f"out of date, {found} places: {change.name}")
    return text.replace(change.before, change.after)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the list; the exit code."""
    asked = _asked(arguments)
    changes = [one for one in read() if not asked.only or any(word in f"{one.file} {one.tests}" for word in asked.only)]
    part, parts = (int(number) for number in asked.slice.split("/"))
    changes = changes[part - 1 :: parts]
    for one in changes:
        applied(one, (ROOT / one.file).read_text())
    made = [one for one in changes if not one.equivalent]
    with _copy() as copy:
        if broken := _failed(copy, ["-n", "auto", *sorted({test for one in made for test in one.tests})], MAX_SECONDS * 10):
            print(f"the tests fail without any change:\n{broken}")
            return 1
        survived = [one for one in made if not _noticed(copy, one)]
    return _summary(made, survived, len(changes) - len(made))


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.mutants", description="Make small changes and see whether the tests fail.")
    parser.add_argument("--only", action="append", default=[], help="changes whose file or tests have this in their name")
    parser.add_argument("--slice", default="1/1", help="part of the list, such as 2/5")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def _copy() -> Iterator[Path]:
    """A copy of the tree, with one Postgres and one Valkey for all runs of its tests."""
    with services.scratch("mutants") as folder:
        shutil.copytree(ROOT, folder / "tree", ignore=_SKIPPED, symlinks=True)
        with services.postgres(folder) as postgres, services.valkey() as valkey:
            os.environ.update(DATABASE_URL=postgres, REDIS_URL=valkey)
            yield folder / "tree"


def _noticed(copy: Path, change: Change) -> bool:
    """Make the change in the copy, run its tests, and take it back."""
    path, started = copy / change.file, time.monotonic()
    whole = path.read_text()
    path.write_text(applied(change, whole))
    try:
        noticed = bool(_failed(copy, change.tests))
    finally:
        path.write_text(whole)
    print(f"{'killed  ' if noticed else 'SURVIVED'} {time.monotonic() - started:5.1f} s  {change.name}", flush=True)
    return noticed


def _failed(copy: Path, tests: Sequence[str], seconds: float = MAX_SECONDS) -> str:
    """What pytest says of the tests when they fail, else ""."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "the tests did not end"
    return "" if run.returncode == 0 else run.stdout[-3000:] + run.stderr[-1000:]


def _summary(made: Sequence[Change], survived: Sequence[Change], equivalent: int) -> int:
    killed = len(made) - len(survived)
    share = killed / len(made) if made else 1.0
    print(f"{killed} of {len(made)} killed ({share:.0%}); {equivalent} are equivalent")
    for one in survived:
        print(f"SURVIVED {one.name}")
    return int(share < MIN_SHARE)


if __name__ == "__main__":
    sys.exit(main())
