"""A repository at GitHub, by its REST API and a fine-grained token with the rights Contents and Pull requests (write)."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from mailer.core.net import http_client
from mailer.forges.base import BranchChange, BranchTaken, ForgeError, PathTaken, PushedBranch, explain_change, explain_merge

_TIMEOUT_SECONDS = 10.0
_MAX_GITHUB_BYTES = 8 << 20
_RIGHTS = "give POSTMERGE_REPOSITORY_TOKEN the rights Contents and Pull requests (read and write) in this repository"


class GitHub:
    """A forge with pull requests. ``name`` is OWNER/REPOSITORY."""

    def __init__(self, api: str, name: str, token: str) -> None:
        self._base = f"{api}/repos/{name}"
        self._token = token

    def push(self, change: BranchChange) -> PushedBranch:
        """Commit the file to the branch and open a pull request, or update it."""
        main = str(self._get("").get("default_branch", "main"))
        if change.expected:
            self._check_branch(change)
        else:
            self._create_branch(change, main)
        commit = self._write_files(change)
        if change.pull_request:
            return PushedBranch(commit, change.pull_request)
        return self._open_pull_request(change, commit, main)

    def delete(self, branch: str, expected: str, pull_request: str) -> None:
        """Close the pull request and delete the branch, if it is as we left it."""
        tip = self._find_tip(branch)
        if not tip:
            return
        if tip != expected:
            raise explain_change(branch)
        if pull_request:
            self._ask("PATCH", f"/pulls/{_number(pull_request)}", {"state": "closed"}, allowed=(404, 422))
        self._ask("DELETE", f"/git/refs/heads/{quote(branch)}", allowed=(404, 422))

    def _check_branch(self, change: BranchChange) -> None:
        """Raise ForgeError if somebody else changed the branch, or closed its pull request."""
        tip = self._find_tip(change.branch)
        if tip != change.expected:
            raise explain_change(change.branch) if tip else explain_merge(change.branch)
        if change.pull_request:
            pull = self._get(f"/pulls/{_number(change.pull_request)}")
            if pull.get("merged"):
                raise explain_merge(change.branch)
            if pull.get("state") == "closed":
                raise ForgeError(f"The pull request {change.pull_request} was closed: reopen it, or delete the draft.")

    def _create_branch(self, change: BranchChange, main: str) -> None:
        base, tip = self._find_tip(main), self._find_tip(change.branch)
        if not base:
            raise ForgeError(f"The repository has no branch {main}: push a first commit.")
        if self._find_file(change.path, main):
            raise PathTaken(f"The repository has a file {change.path} already: choose another slug.")
        if tip and tip != base:  # a branch without commits of its own is left over from an attempt of ours
            raise BranchTaken(f"The repository has a branch {change.branch} that is not the API's: choose another slug.")
        if not tip:
            self._ask("POST", "/git/refs", {"ref": f"refs/heads/{change.branch}", "sha": base})

    def _write_files(self, change: BranchChange) -> str:
        """Commit the images that the branch lacks, then the issue; the last commit."""
        commit = ""
        try:
            for path, content in change.images.items():
                if not self._find_file(path, change.branch):
                    commit = self._write_file(change, path, content, "")
            return self._write_file(change, change.path, change.content, self._find_file(change.path, change.branch))
        except ForgeError as error:
            error.commit = commit
            raise

    def _write_file(self, change: BranchChange, path: str, content: bytes, known: str) -> str:
        body = {"message": change.headline, "content": base64.b64encode(content).decode(), "branch": change.branch}
        status, answer = self._ask(
            "PUT", f"/contents/{quote(path)}", {**body, **({"sha": known} if known else {})}, allowed=(409,)
        )
        if status == 409:
            raise explain_change(change.branch)
        return str(answer["commit"]["sha"])

    def _open_pull_request(self, change: BranchChange, commit: str, main: str) -> PushedBranch:
        body = {"title": change.headline, "head": change.branch, "base": main, "body": "Written through the newsletter's API."}
        try:
            status, answer = self._ask("POST", "/pulls", body, allowed=(422,))
        except ForgeError as error:
            return PushedBranch(commit, reason=f"The branch {change.branch} is pushed, without a pull request: {error}")
        return PushedBranch(commit, str(answer.get("html_url", "")) if status == 201 else "")

    def _find_tip(self, branch: str) -> str:
        status, answer = self._ask("GET", f"/git/ref/heads/{quote(branch)}", allowed=(404, 409))
        return str(answer["object"]["sha"]) if status == 200 else ""

    def _find_file(self, path: str, branch: str) -> str:
        """The id of a file's content on a branch, '' without one."""
        status, answer = self._ask("GET", f"/contents/{quote(path)}?ref={quote(branch, safe='')}", allowed=(404,))
        return str(answer["sha"]) if status == 200 else ""

    def _get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path)[1]

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, allowed: tuple[int, ...] = ()
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer. Raises ForgeError for every status from 400 that is not ``allowed``."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/vnd.github+json"}
        data = json.dumps(body).encode() if body is not None else None
        if data:
            headers["Content-Type"] = "application/json"
        request = http_client.HttpRequest(
            method, self._base + path, headers, data, seconds=_TIMEOUT_SECONDS, max_bytes=_MAX_GITHUB_BYTES
        )
        try:
            response = http_client.send(request)
            if response.status in allowed:
                return response.status, {}
            if response.status >= 300:  # a redirect too: the token is for the original address only
                raise _explain(response.status)
            return response.status, json.loads(response.body) if response.body else {}
        except http_client.NoResponse as error:
            raise ForgeError(f"GitHub cannot be reached ({error}): try again later.") from error
        except ValueError as error:
            raise ForgeError("GitHub answered something that is not JSON: try again later.") from error


def _explain(status: int) -> ForgeError:
    if status in (401, 403, 404):
        return ForgeError(f"GitHub refused the token ({status}): {_RIGHTS}.")
    return ForgeError(f"GitHub answered with {status}: try again later.")


def _number(pull_request: str) -> str:
    return pull_request.rpartition("/")[2]
