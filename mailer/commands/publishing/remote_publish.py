"""``postmerge publish --server URL``: upload the editions of a build to a server and publish them there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from mailer.commands.plurals import count
from mailer.core import domain_names
from mailer.core.edition import Edition, Finding, SendIntent, list_issues, texts_said
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.core.net import http_client
from mailer.core.settings import Settings
from mailer.editions.site import edition_files
from mailer.flows.publishing.preflight import Refusal
from mailer.flows.publishing.publish import Outlook
from mailer.flows.publishing.publish_plan import Action, Plan, Step
from mailer.flows.publishing.sequence_plan import list_sentences

_TIMEOUT_SECONDS = 120.0  # freezing a large audience takes a while
_MAX_SERVER_ANSWER_BYTES = 64 << 20
_LOCAL = ("127.0.0.1", "localhost", "::1")


class Server:
    """A server's API with a key."""

    def __init__(self, url: str, key: str) -> None:
        parts = domain_names.with_ascii_host(urlsplit(url))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"{url!r} is not a server's URL: use the form https://news.example.org.")
        if parts.scheme == "http" and parts.hostname not in _LOCAL:
            raise BadInput("The key would be sent unencrypted: use an https:// URL.")
        if not key:
            raise BadInput(
                "POSTMERGE_API_KEY is not set: create one on the server, with `postmerge keys create ci --scope publish` to"
                " publish, or with `--scope review` to plan and to send tests."
            )
        self._base = parts.geturl().rstrip("/") + "/v1"
        self._key = key

    def insist(self, operation: str) -> None:
        """Raise Refused unless the key may do this: ``plan``, ``preview``, ``publish`` or ``test``.

        Ask before something is built or uploaded for it.
        """
        self.ask("GET", f"/permissions/{operation}", b"")

    def ask(self, method: str, path: str, body: bytes, media_type: str = "application/json") -> Any:
        """What the server answers. Raises Refused, BadInput or Unavailable with its sentence."""
        headers = {"Authorization": f"Token {self._key}", "Content-Type": media_type}
        request = http_client.HttpRequest(
            method, self._base + path, headers, body, _TIMEOUT_SECONDS, max_bytes=_MAX_SERVER_ANSWER_BYTES
        )
        try:
            response = http_client.send(request)
        except http_client.NoResponse as error:
            host = urlsplit(self._base).netloc
            raise Unavailable(
                f"The server {host} does not respond ({error}): check its address and your connection. Running this again is"
                " safe."
            ) from error
        if response.status >= 300:
            raise _make_error(response)
        return json.loads(response.body) if response.body else None


@dataclass(frozen=True)
class PublishRequest:
    """What to publish: all editions of the archive, by the digests of their uploads."""

    editions: Sequence[str]
    issue: str
    allow: Sequence[str]
    gate: bool | None
    commit: str = ""

    def body(self, findings: Sequence[Finding]) -> bytes:
        """The request's body."""
        facts = {**vars(self), "editions": list(self.editions), "allow": list(self.allow)}
        if not self.commit:
            del facts["commit"]  # which a server of version 0.2 does not know
        return json.dumps({**facts, "findings": [vars(one) for one in findings if one.level == "error"]}).encode()


def hand_over(
    server: Server, found: Sequence[Edition], issue: str, allow: Sequence[str], gate: bool | None
) -> tuple[PublishRequest, int]:
    """Give the server the editions that it lacks; the request to publish all of them, and how many were new to it."""
    raw = {hashlib.sha256(data).hexdigest(): data for data in map(edition_files.to_bytes, found)}
    lacking = server.ask("POST", "/publish/missing", json.dumps({"editions": list(raw)}).encode())["missing"]
    for digest in lacking:
        server.ask("PUT", f"/publish/editions/{digest}", raw[digest])
    return PublishRequest(list(raw), issue, allow, gate), len(lacking)


def plan(server: Server, request: PublishRequest, findings: Sequence[Finding]) -> dict[str, Any]:
    """What publishing would do, and the refusals."""
    done: dict[str, Any] = server.ask("POST", "/publish/plan", request.body(findings))
    return done


def publish(server: Server, request: PublishRequest, findings: Sequence[Finding]) -> dict[str, Any]:
    """Publish the uploaded editions; return what was done. Safe to repeat at any point."""
    done: dict[str, Any] = server.ask("POST", "/publish", request.body(findings))
    return done


def send_test(server: Server, edition: Edition, variant: str, to: Sequence[str], once: bool = False) -> dict[str, Any]:
    """Send a text of an edition to reviewers (``once``: unless they were sent it before); return what was sent."""
    raw = edition_files.to_bytes(edition)
    digest = hashlib.sha256(raw).hexdigest()
    server.ask("PUT", f"/publish/editions/{digest}", raw)
    body = json.dumps({"edition": digest, "variant": variant, "to": list(to), "once": once}).encode()
    done: dict[str, Any] = server.ask("POST", "/test_emails", body)
    return done


def upload_preview(server: Server, branch: str, packed: bytes, reviewer: bool) -> dict[str, Any]:
    """Upload the preview of a branch; return its addresses (``reviewer``: also the one with paid text) and its end."""
    asked = urlencode({"branch": branch, **({"reviewer": "true"} if reviewer else {})})
    done: dict[str, Any] = server.ask("POST", f"/previews?{asked}", packed, "application/octet-stream")
    return done


def remove_preview(server: Server, branch: str) -> None:
    """Remove the preview of a branch, if there is one."""
    server.ask("DELETE", f"/previews?{urlencode({'branch': branch})}", b"")


def server(url: str, settings: Settings, operation: str = "") -> Server:
    """The server with the key of the environment. Raises Refused unless that key may do ``operation`` (empty: not asked)."""
    made = Server(url, settings.api_key)
    if operation:
        made.insist(operation)
    return made


def make_outlook(facts: dict[str, Any], found: Sequence[Edition]) -> Outlook:
    """Return the server's plan as if it had been made here. It says nothing about issues for which nothing changes."""
    found = list_issues(found)
    by_path = {edition.path: edition for edition in found}
    steps = [_make_step(step, by_path) for step in facts["steps"]]
    told = {step.path for step in steps}
    steps += [
        Step(Action.KEEP, edition.key, edition.key, _explain_kept(edition), edition=edition)
        for edition in found
        if edition.path not in told
    ]
    refusals = tuple(Refusal(one["check"], one["sentence"]) for one in facts["refusals"])
    return Outlook(
        Plan(tuple(steps), facts["first"], datetime.now(UTC)), refusals, None, sequences=tuple(facts.get("sequences", ()))
    )


def _make_step(step: dict[str, Any], by_path: dict[str, Edition]) -> Step:
    edition = next((by_path[path] for path in step["paths"] if path in by_path), None)
    return Step(
        action=Action(step["action"]),
        key=step["issue"],
        root=step["issue"],
        why=step["why"],
        edition=edition,
        told=_describe_counts(step, edition),
        due_at=datetime.fromisoformat(step["due_at"]) if step["due_at"] else None,
        scheduled=step.get("scheduled", False),
        was_at=step["paths"][0] if step["paths"] and not edition else "",
    )


def _describe_counts(step: dict[str, Any], edition: Edition | None) -> str:
    texts = texts_said(step.get("texts", {}), edition.lang) if edition else ""
    few = f"**fewer than {step['fewer_than']} subscribers**" if step.get("fewer_than") else "its audience"
    told = few if step["subscribers"] is None else f"**{count(step['subscribers'], 'subscriber')}**"
    return f"{told}{f' ({texts})' if texts else ''}"


def _explain_kept(edition: Edition) -> str:
    if edition.send is SendIntent.NO:
        return "does not ask to be sent"
    return f"edition {edition.number} was sent before, or waits unchanged"


def planned(facts: dict[str, Any]) -> list[str]:
    """What publishing would do, a line for each thing; or that it refuses, and why."""
    if facts["refusals"]:
        return ["Publishing is refused. Nothing is sent:", *(f"- {one['sentence']}" for one in facts["refusals"])]
    return sentences(facts)


def sentences(done: dict[str, Any]) -> list[str]:
    """What was done, a line for each thing."""
    sequences = [line for one in done.get("sequences", ()) for line in list_sentences(one)]
    return [*(_describe_step(step) for step in done["steps"]), *sequences] or ["Nothing new to send."]


def _describe_step(step: dict[str, Any]) -> str:
    few = f" to fewer than {step['fewer_than']} subscribers" if step.get("fewer_than") else ""
    audience = few if step["subscribers"] is None else f" to {count(step['subscribers'], 'subscriber')}"
    return f"{step['action']}: {step['issue']}{audience}. {step['why']}".rstrip()


def _make_error(response: http_client.Response) -> Exception:
    try:
        detail = json.loads(response.body)["detail"]
        sentence = detail if isinstance(detail, str) else detail[0]["msg"]
    except (ValueError, KeyError, TypeError, IndexError):
        sentence = f"The server responded with {response.status}: check that this is the URL of a Postmerge server."
    if response.status in (429, 500, 502, 503, 504):
        return Unavailable(sentence)
    return Refused(sentence) if response.status in (401, 403, 409) else BadInput(sentence)
