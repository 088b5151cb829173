"""A bare repository on this machine. Changes are pushed, so that its hooks run and may refuse them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.forges.base import BranchChange, BranchTaken, ForgeError, PathTaken, PushedBranch, explain_change, explain_merge

_TIMEOUT_SECONDS = 60
_MAX_GIT_MESSAGE_CHARS = 300
_HEADS = "refs/heads/"


class BareRepository:
    """A forge without pull requests. Commits have this author."""

    def __init__(self, path: Path, author: str, address: str) -> None:
        self._path = path
        self._author = ("-c", f"user.name={author}", "-c", f"user.email={address}", "-c", "commit.gpgsign=false")

    def push(self, change: BranchChange) -> PushedBranch:
        """Commit the file to the branch, which begins at the published branch."""
        with self._clone() as copy:
            tip, head = _find_commit(copy, _HEADS + change.branch), _find_commit(copy, "HEAD")
            if tip != change.expected:
                raise explain_change(change.branch) if tip and change.expected else self._explain(change, tip)
            if tip and head and _run(copy, "merge-base", "--is-ancestor", tip, head).returncode == 0:
                raise explain_merge(change.branch)
            if not tip and head and _run(copy, "cat-file", "-e", f"{head}:{change.path}").returncode == 0:
                raise PathTaken(f"The repository has a file {change.path} already: choose another slug.")
            commit = self._commit(copy, change, tip or head)
            self._push(copy, f"{commit}:{_HEADS}{change.branch}", change.branch, tip)
        return PushedBranch(commit)

    def delete(self, branch: str, expected: str, pull_request: str) -> None:
        """Delete the branch if it is as we left it."""
        with self._clone() as copy:
            tip = _find_commit(copy, _HEADS + branch)
            if not tip:
                return
            if tip != expected:
                raise explain_change(branch)
            self._push(copy, f":{_HEADS}{branch}", branch, tip)

    def _explain(self, change: BranchChange, tip: str) -> ForgeError:
        if not tip:
            return explain_merge(change.branch)
        return BranchTaken(f"The repository has a branch {change.branch} that is not the API's: choose another slug.")

    @contextmanager
    def _clone(self) -> Iterator[Path]:
        """A private copy, which shares the repository's objects."""
        if not (self._path / "objects").is_dir():
            raise ForgeError("POSTMERGE_REPOSITORY names no bare repository: create one with `git init --bare`.")
        with tempfile.TemporaryDirectory(prefix="postmerge-draft-") as folder:
            copy = Path(folder) / "copy"
            _check(_run(Path(folder), "clone", "-q", "--bare", "--shared", "--no-tags", str(self._path), str(copy)))
            yield copy

    def _commit(self, copy: Path, change: BranchChange, parent: str) -> str:
        if parent:
            _check(_run(copy, "read-tree", parent))
        for path, content in {**change.images, change.path: change.content}.items():
            blob = _check(_run(copy, "hash-object", "-w", "--stdin", given=content))
            _check(_run(copy, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}"))
        tree = _check(_run(copy, "write-tree"))
        if parent and tree == _check(_run(copy, "rev-parse", f"{parent}^{{tree}}")):
            return parent
        return _check(
            _run(copy, *self._author, "commit-tree", tree, *(["-p", parent] if parent else []), "-m", change.headline)
        )

    def _push(self, copy: Path, what: str, branch: str, tip: str) -> None:
        lease = f"--force-with-lease={_HEADS}{branch}:{tip}"
        done = _run(copy, "push", "-q", lease, str(self._path), what)
        if done.returncode and b"stale info" in done.stderr:
            raise explain_change(branch)
        _check(done)


def _find_commit(copy: Path, name: str) -> str:
    """The commit of a branch, '' without one."""
    done = _run(copy, "rev-parse", "--verify", "-q", f"{name}^{{commit}}")
    return done.stdout.decode().strip() if done.returncode == 0 else ""


def _run(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(folder), "-c", "core.quotePath=false", *words]
    try:
        return subprocess.run(command, input=given, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)  # noqa: S603
    except FileNotFoundError:
        raise ForgeError("This machine has no git: install it, so that drafts can be pushed.") from None
    except subprocess.TimeoutExpired:
        raise ForgeError(f"The repository did not respond within {_TIMEOUT_SECONDS} seconds: try again later.") from None


def _check(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command printed. Raises ForgeError with what git or a hook said."""
    if done.returncode == 0:
        return done.stdout.decode().strip()
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    said = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")] or lines[-1:]
    raise ForgeError(f"The repository refused the change: {' '.join(said)[:_MAX_GIT_MESSAGE_CHARS] or 'git gave no reason'}")
