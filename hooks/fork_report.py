"""Prepare the report on a fork's pull request for ``post-report``: find the pull request, read the artifact, defuse its text.

The fork's code wrote the artifact, and could write anything. So it is data, of which a bounded part of one file is read, and it
says nothing about where it is posted: GitHub does. Runs on the default branch, by ``workflow_run``. Needs GH_TOKEN and
GITHUB_REPOSITORY, and from the event RUN (the id of the fork's run), COMMIT (what it ran on), OWNER and BRANCH (where that is).
ARTIFACT is the artifact's name. Writes report/comment.md and prints the pull request's number; prints no number when there is
nothing to post.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mailer.exchange.fork_text import MAX_COMMENT_BYTES, defuse, read_text

MAX_ARTIFACT_BYTES = 5_000_000


def find_pull_request(repository: str, owner: str, branch: str, commit: str) -> int | None:
    """Return the number of the open pull request whose last commit is the one that the run ran on; None if there is none."""
    asked = f"repos/{repository}/pulls?state=open&per_page=100&head={quote(f'{owner}:{branch}', safe='')}"
    for pull in json.loads(_ask_github(asked)):
        if pull["head"]["sha"] == commit and pull["base"]["repo"]["full_name"] == repository:
            return int(pull["number"])
    return None


def read_report(repository: str, run: str, name: str, commit: str) -> str | None:
    """Return the report in a run's newest artifact of this name, cut to its limit; None without one that can be read."""
    listed: dict[str, Any] = json.loads(
        _ask_github(f"repos/{repository}/actions/runs/{run}/artifacts?per_page=100&name={name}")
    )
    fit = [
        one["id"]
        for one in listed["artifacts"]
        if one["name"] == name and not one["expired"] and one["workflow_run"]["head_sha"] == commit
        if one["size_in_bytes"] <= MAX_ARTIFACT_BYTES
    ]
    if not fit:
        return None
    packed = _ask_github(f"repos/{repository}/actions/artifacts/{max(fit)}/zip")
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive, archive.open("comment.md") as file:
            return read_text(file.read(MAX_COMMENT_BYTES))
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, OSError, EOFError, ValueError, zlib.error):
        return None


def _ask_github(path: str) -> bytes:
    return subprocess.run(["gh", "api", path], check=True, capture_output=True).stdout  # noqa: S603, S607


def main() -> None:
    """Write the report and print the pull request's number, or say why there is none."""
    repository, commit = os.environ["GITHUB_REPOSITORY"], os.environ["COMMIT"]
    number = find_pull_request(repository, os.environ["OWNER"], os.environ["BRANCH"], commit)
    report = read_report(repository, os.environ["RUN"], os.environ["ARTIFACT"], commit) if number else None
    if report is None:
        print("There is no report to post, or the pull request has newer commits.", file=sys.stderr)
        return
    folder = Path("report")
    folder.mkdir(exist_ok=True)
    (folder / "comment.md").write_text(defuse(report), encoding="utf-8")
    print(number)


if __name__ == "__main__":
    main()
