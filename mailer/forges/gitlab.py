"""The reports of open merge requests at GitLab, by its REST API and an access token (role Reporter, scope ``api``).

GitLab starts no pipeline of the parent project for a fork's merge request, so a schedule of the default branch does this. A
report is data that the merge request's pipeline uploaded: nothing of it is run, and GitLab says where it belongs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mailer.core.net import http_client
from mailer.exchange.fork_text import MARK, MAX_COMMENT_BYTES, defuse, read_text, remove_commands
from mailer.forges.base import ForgeError

REPORT_JOB, REPORT_FILE, PICTURE_FILE, PICTURE_URL = "report", "comment.md", "mail.png", "PICTURE"
_TIMEOUT_SECONDS = 10.0
_MAX_GITLAB_BYTES = 8 << 20
_MAX_DRAWN_BYTES = 5_000_000
_MAX_CHECKS_PER_COMMIT = 5
_BOUNDARY = "-postmerge-picture-"
_DIGEST = re.compile(r"^\| Digest \| `([0-9a-f]{64})` \|$", re.MULTILINE)
_REFUSED = "\n> **Publishing would refuse this:"
_NO_CHECK = "the token needs the role Developer for one."


@dataclass(frozen=True)
class MergeRequest:
    """An open merge request; ``commit`` is its last one."""

    number: int
    commit: str
    is_from_fork: bool


@dataclass(frozen=True)
class _Job:
    project: int
    id: int


class GitLabReports:
    """The merge requests of one project. ``api`` is the API's base URL, ``project`` the project's id."""

    def __init__(self, api: str, project: str, token: str) -> None:
        self._api = api.rstrip("/")
        self._project = f"/projects/{quote(project, safe='')}"
        self._token = token

    def list_open(self) -> list[MergeRequest]:
        """List the hundred newest open merge requests. Raises ForgeError."""
        return [
            MergeRequest(int(one["iid"]), str(one["sha"]), one["source_project_id"] != one["target_project_id"])
            for one in self._get(f"{self._project}/merge_requests?state=opened&per_page=100")
        ]

    def post_report(self, request: MergeRequest) -> str:
        """Post the newest report as one note, or renew the one that is there; say what was done. Raises ForgeError."""
        job = self._find_report(request)
        data = self._download(job, REPORT_FILE, MAX_COMMENT_BYTES) if job else None
        if job is None or data is None:
            return "no report yet"
        text = read_text(data)
        text = defuse(text) if request.is_from_fork else f"{MARK}\n{remove_commands(text.removeprefix(MARK)).strip()}\n"
        mark = f"<!-- {hashlib.sha256(text.encode()).hexdigest()} -->"
        note = self._find_note(request)
        if note and mark in note["body"]:
            return "up to date"
        if not request.is_from_fork and (picture := self._download(job, PICTURE_FILE, _MAX_DRAWN_BYTES)):
            text = text.replace(f'src="{PICTURE_URL}"', f'src="{self._upload(picture)}"')
        body = json.dumps({"body": f"{text}\n{mark}\n"}).encode()
        notes = f"{self._project}/merge_requests/{request.number}/notes"
        self._ask("PUT", f"{notes}/{note['id']}", body) if note else self._ask("POST", notes, body)
        done = "renewed" if note else "posted"
        return done if request.is_from_fork or self._name_checks(request, text) else f"{done}, without a check: {_NO_CHECK}"

    def _find_report(self, request: MergeRequest) -> _Job | None:
        """The job of the newest pipeline that wrote the report. A fork's pipeline counts only if it ran on the last commit."""
        pipeline = self._get(f"{self._project}/merge_requests/{request.number}").get("head_pipeline") or {}
        if not pipeline or (request.is_from_fork and pipeline["sha"] != request.commit):
            return None
        project = int(pipeline["project_id"])
        status, listed = self._ask("GET", f"/projects/{project}/pipelines/{int(pipeline['id'])}/jobs?per_page=100")
        if status != 200:  # a private fork
            return None
        return next(
            (
                _Job(project, int(job["id"]))
                for job in json.loads(listed)
                if job["name"] == REPORT_JOB and job["status"] == "success"
            ),
            None,
        )

    def _download(self, job: _Job, name: str, max_bytes: int) -> bytes | None:
        status, data = self._ask("GET", f"/projects/{job.project}/jobs/{job.id}/artifacts/{name}", max_bytes=max_bytes)
        return data if status == 200 else None

    def _find_note(self, request: MergeRequest) -> dict[str, Any] | None:
        """Our own note: nobody else's is renewed, however it begins."""
        own = self._get("/user")["id"]
        notes = self._get(f"{self._project}/merge_requests/{request.number}/notes?per_page=100&sort=asc")
        return next((one for one in notes if one["author"]["id"] == own and one["body"].startswith(MARK)), None)

    def _name_checks(self, request: MergeRequest, text: str) -> bool:
        """Give the last commit a check named after each digest; whether the token may."""
        state = "failed" if _REFUSED in text else "success"
        for digest in _DIGEST.findall(text)[:_MAX_CHECKS_PER_COMMIT]:
            facts = {"state": state, "name": f"postmerge {digest[:12]}", "description": "The text with this digest"}
            try:
                self._ask("POST", f"{self._project}/statuses/{request.commit}", json.dumps(facts).encode())
            except ForgeError:
                return False
        return True

    def _upload(self, picture: bytes) -> str:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="mail.png"\r\n'
        body = b"".join((f"{head}Content-Type: image/png\r\n\r\n".encode(), picture, f"\r\n--{_BOUNDARY}--\r\n".encode()))
        _, answer = self._ask("POST", f"{self._project}/uploads", body, f"multipart/form-data; boundary={_BOUNDARY}")
        return str(json.loads(answer)["url"])

    def _get(self, path: str) -> Any:
        status, answer = self._ask("GET", path)
        if status != 200:
            raise _explain(status)
        return json.loads(answer)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json", *, max_bytes: int = 0
    ) -> tuple[int, bytes]:
        """Status and answer. Raises ForgeError unless it is 2xx, or 401, 403 or 404 to a GET."""
        headers = {"PRIVATE-TOKEN": self._token, **({"Content-Type": kind} if body else {})}
        limit = max_bytes or _MAX_GITLAB_BYTES
        request = http_client.HttpRequest(method, self._api + path, headers, body, seconds=_TIMEOUT_SECONDS, max_bytes=limit)
        try:
            response = http_client.send(request)
            if method == "GET" and response.status in (301, 302, 307) and "location" in response.headers:
                # Files may be in a storage elsewhere, which does not get the token.
                response = http_client.get(response.headers["location"], seconds=_TIMEOUT_SECONDS, max_bytes=limit)
        except http_client.NoResponse as error:
            raise ForgeError(f"GitLab cannot be reached ({error}): try again later.") from error
        if response.accepted or (method == "GET" and response.status in (401, 403, 404)):
            return response.status, response.body
        raise _explain(response.status)


def post_reports(reports: GitLabReports) -> Iterator[tuple[int, str, bool]]:
    """Post the report of each open merge request; yield its number, what was done, and whether that failed."""
    for request in reports.list_open():
        try:
            yield request.number, reports.post_report(request), False
        except (ForgeError, ValueError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, ForgeError) else "GitLab's answer has another shape than its API's."
            yield request.number, reason, True


def _explain(status: int) -> ForgeError:
    if status in (401, 403, 404):
        return ForgeError(
            f"GitLab refused the token ({status}): give POSTMERGE_GITLAB_TOKEN the role Reporter here and the scope api."
        )
    return ForgeError(f"GitLab answered with {status}: try again later.")
