"""What a forge does for the API: it keeps one file on a branch of its own, and never merges."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailer.core.errors import Refused

_MAX_HEADLINE_CHARS = 200
_PUNCTUATION = frozenset(".,;:!?'\"’‘“”„‚«»–—-&%$€£()")  # what titles need, without the characters of markers and markup
# Signs of references, and hyphens of trailers' names and of `GH-1`.
_REFERENCES = re.compile(r"[!&%$](?=\w)|(?<=\w)-+(?=[\w-]*\s*:)|(?<=[A-Za-z])-+(?=\d)|--+")


class ForgeError(Refused):
    """The repository did not take a change; the sentence says why, and what to do.

    ``commit`` is the branch's commit if it took only a part of it.
    """

    commit = ""


class BranchTaken(ForgeError):
    """There is a branch of this name that is not ours."""


class PathTaken(ForgeError):
    """The branch that is published has a file of this name."""


@dataclass(frozen=True)
class BranchChange:
    """A file to commit to a branch, with the ``images`` that it shows, by path.

    ``expected`` is the commit that the branch has if nobody else changed it, '' for a new branch; ``pull_request`` the address
    of its pull request, if there is one.
    """

    branch: str
    path: str
    content: bytes
    title: str
    expected: str = ""
    pull_request: str = ""
    images: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The title as the message of the commit and the title of the pull request, which squashing puts on main.

        It is a stranger's text, and forges and pipelines read commands in such messages: `[skip ci]`, `***NO_CI***`,
        `skip-checks: true`, `fixes #1`, `@name`, trailers. So it has neither their characters nor a second line.
        """
        plain = "".join(char if _is_plain(char) else " " for char in unicodedata.normalize("NFKC", self.title))
        return " ".join(_REFERENCES.sub(" ", plain).split())[:_MAX_HEADLINE_CHARS].strip() or "Untitled"


@dataclass(frozen=True)
class PushedBranch:
    """A branch with its new commit; ``reason`` says why it has no pull request although the forge has some."""

    commit: str
    pull_request: str = ""
    reason: str = ""


class Forge(Protocol):
    """A repository."""

    def push(self, change: BranchChange) -> PushedBranch:
        """Commit the file. Raises ForgeError when the branch is not as expected, or the repository refuses."""

    def delete(self, branch: str, expected: str, pull_request: str) -> None:
        """Delete the branch, if it is there, and close its pull request. Raises ForgeError as above."""


def _is_plain(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN" or char in _PUNCTUATION


def explain_change(branch: str) -> ForgeError:
    """The error for a branch that somebody else changed."""
    return ForgeError(f"The branch {branch} was changed in git meanwhile: edit the file there.")


def explain_merge(branch: str) -> ForgeError:
    """The error for a branch that was merged."""
    return ForgeError(f"The branch {branch} was merged or deleted in git: edit the issue's file there.")
