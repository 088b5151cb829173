"""A stand-in for the part of GitHub's REST API that drafts need, on a socket.

``with FakeGitHub() as fake:`` serves ``fake.url`` in threads of this process. It has one repository, ``owner/news``.
``fake.rights`` are those of the token (contents, pull_requests); ``fake.status`` is the answer to everything when it is not 0;
``fake.refused`` are beginnings of requests (PUT /contents/images) that are answered with 502.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

NAME = "owner/news"
TOKEN = "github_pat_fake"
_Answer = tuple[int, dict[str, Any]]


@dataclass
class FakeGitHub:
    """The repository's branches (their commits), files by commit and path, messages of commits, and pull requests by number."""

    heads: dict[str, str] = field(default_factory=lambda: {"main": "c0"})
    files: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"c0": {"README.md": b"Hello\n"}})
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    rights: set[str] = field(default_factory=lambda: {"contents", "pull_requests"})
    status: int = 0
    refused: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)

    def __enter__(self) -> FakeGitHub:
        fake, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                with lock:
                    status, said = fake.ask(self.command, self.path, body, self.headers.get("Authorization", ""))
                data = b"" if status == 204 else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def commit(self, branch: str, path: str, content: bytes) -> str:
        """Commit a file to a branch, as somebody else or as the API; the new commit."""
        before = self.heads[branch]
        made = hashlib.sha1(f"{before} {path}".encode() + content).hexdigest()
        self.files[made] = {**self.files[before], path: content}
        self.heads[branch] = made
        return made

    def ask(self, method: str, target: str, body: dict[str, Any], authorization: str) -> _Answer:
        """Status and answer of a request."""
        if self.status:
            return self.status, {}
        prefix = f"/repos/{NAME}"
        if authorization != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        parts = urlsplit(target)
        path = unquote(parts.path.removeprefix(prefix))
        if not parts.path.startswith(prefix):
            return 404, {}
        if any(f"{method} {path}".startswith(one) for one in self.refused):
            return 502, {}
        for pattern, right, handle in self._routes():
            if found := re.fullmatch(pattern, f"{method} {path}"):
                if right and right not in self.rights:
                    return 403, {"message": "Resource not accessible by personal access token"}
                return handle(found.group(1) if found.groups() else "", body, parts.query)
        return 404, {}

    def _routes(self) -> list[tuple[str, str, Callable[[str, dict[str, Any], str], _Answer]]]:
        return [
            (r"GET ", "", lambda *_: (200, {"default_branch": "main"})),
            (r"GET /git/ref/heads/(.+)", "", self._get_ref),
            (r"POST /git/refs", "contents", self._add_ref),
            (r"DELETE /git/refs/heads/(.+)", "contents", self._delete_ref),
            (r"GET /contents/(.+)", "", self._get_file),
            (r"PUT /contents/(.+)", "contents", self._put_file),
            (r"POST /pulls", "pull_requests", self._add_pull),
            (r"GET /pulls/(\d+)", "", lambda number, *_: (200, self.pulls[int(number)])),
            (r"PATCH /pulls/(\d+)", "pull_requests", self._change_pull),
        ]

    def _get_ref(self, branch: str, *_: Any) -> _Answer:
        return (200, {"object": {"sha": self.heads[branch]}}) if branch in self.heads else (404, {})

    def _add_ref(self, _: str, body: dict[str, Any], __: str) -> _Answer:
        branch = body["ref"].removeprefix("refs/heads/")
        if branch in self.heads:
            return 422, {"message": "Reference already exists"}
        self.heads[branch] = body["sha"]
        return 201, {}

    def _delete_ref(self, branch: str, *_: Any) -> _Answer:
        return (204, {}) if self.heads.pop(branch, None) else (422, {})

    def _get_file(self, path: str, _: dict[str, Any], query: str) -> _Answer:
        content = self.files[self.heads[parse_qs(query)["ref"][0]]].get(path)
        return (404, {}) if content is None else (200, {"sha": hashlib.sha1(content).hexdigest()})

    def _put_file(self, path: str, body: dict[str, Any], _: str) -> _Answer:
        known = self._get_file(path, {}, f"ref={body['branch']}")[1]
        if known.get("sha") != body.get("sha"):
            return 409, {}
        self.messages.append(body["message"])
        return 200, {"commit": {"sha": self.commit(body["branch"], path, base64.b64decode(body["content"]))}}

    def _add_pull(self, _: str, body: dict[str, Any], __: str) -> _Answer:
        number = len(self.pulls) + 1
        url = f"https://github.com/{NAME}/pull/{number}"
        self.pulls[number] = {"number": number, "html_url": url, "state": "open", "merged": False, **body}
        return 201, self.pulls[number]

    def _change_pull(self, number: str, body: dict[str, Any], _: str) -> _Answer:
        self.pulls[int(number)] |= body
        return 200, self.pulls[int(number)]
