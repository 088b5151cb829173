"""A key that may only publish: it learns nothing about subscribers, and the server fetches nothing for it but the site."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.editions.site import edition_files
from mailer.flows.operations import api_keys
from mailer.flows.publishing import preflight
from mailer.flows.publishing.preflight import fetch_live_digest, is_below
from mailer.flows.sending.send_status import list_send_statuses
from tests import factories, web
from tests.web import Web

SITE = "https://news.example.org/letter"
RULES = ("everyone", "python", "no-such-tag", "not python", "python and no-such-tag")


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, site_url=SITE)


@pytest.fixture
def pipeline(newsletter: Web) -> TestClient:
    """A client with a publish key, after the first publish."""
    client = TestClient(newsletter.app())
    client.headers["Authorization"] = f"Token {api_keys.create_key(newsletter.database, 'ci', 'publish')}"
    ask(client, "", [factories.old()])
    return client


def ask(client: TestClient, path: str, archive: Sequence[Edition], **more: Any) -> dict[str, Any]:
    """Upload the editions, and plan or publish them."""
    raw = {hashlib.sha256(data).hexdigest(): data for data in map(edition_files.to_bytes, archive)}
    for digest, data in raw.items():
        assert client.put(f"/v1/publish/editions/{digest}", content=data).status_code == 204
    response = client.post(f"/v1/publish{path}", json={"editions": list(raw), **more})
    return {"status": response.status_code, **response.json()}


def describe(answer: dict[str, Any], issue: Edition) -> str:
    """The answer without the times, ids and names that differ anyway."""
    steps = [{**step, "due_at": ""} for step in answer["steps"]]
    return repr({**answer, "steps": steps, "sends": len(answer.get("sends", []))}).replace(issue.key, "ISSUE")


def test_a_plan_is_the_same_whoever_matches_the_audience(newsletter: Web, pipeline: TestClient) -> None:
    def plan(rule: str) -> str:
        issue = factories.edition(audience=rule)
        return describe(ask(pipeline, "/plan", [factories.old(), issue]), issue)

    told = {plan(rule) for rule in RULES}
    factories.add_subscribers(newsletter.database, 3, ("python",))
    told |= {plan(rule) for rule in RULES}
    assert len(told) == 1
    assert "'readers': None" in told.pop()


def test_publishing_says_the_same_whoever_matches_and_pauses_a_send_to_nobody(newsletter: Web, pipeline: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 3, ("python",))
    archive, answers = [factories.old()], []
    for number, rule in enumerate(("python", "no-such-tag")):
        body = f"<p>{number}</p>" + "".join(f"<p>{number * 1000 + word}</p>" for word in range(200))
        issue = factories.edition(f"issue-{number}", body, audience=rule)
        archive.append(issue)
        answers.append(describe(ask(pipeline, "", archive), issue))
        send = pipeline.get(f"/v1/sends/{issue.key}").json()
        assert (send["audience"], send["deliveries"], send["reason"], send["state"]) == (None, {}, "", "holding")
    assert answers[0] == answers[1]
    paused = {status.send.issue_key: status.send for status in list_send_statuses(newsletter.database)}["issue-1"]
    assert paused.state == "paused"
    assert "no-such-tag" in paused.reason
    assert newsletter.counted("notices") == 1


@pytest.mark.parametrize(
    ("url", "below"),
    [
        (f"{SITE}/issues/hello/", True),
        (f"{SITE}/", True),
        ("http://news.example.org/letter/x/", False),
        ("https://news.example.org:8443/letter/x/", False),
        ("https://news.example.org/", False),
        ("https://news.example.org/letters/", False),
        ("https://news.example.org/letter/../admin", False),
        ("https://news.example.org/letter/%2e%2e/admin", False),
        ("https://news.example.org@169.254.169.254/letter/", False),
        ("https://user@news.example.org/letter/", False),
        ("http://169.254.169.254/latest/", False),
        ("https://news.example.org.evil.org/letter/", False),
        ("https://[/letter/", False),
        ("", False),
    ],
)
def test_only_urls_below_the_site_are_fetched(url: str, below: bool) -> None:
    assert is_below(url, SITE) is below


def test_an_uploaded_edition_makes_the_server_fetch_nothing_but_its_site(
    pipeline: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def fetch(url: str, _site_url: str) -> str:
        fetched.append(url)
        return ""

    monkeypatch.setattr(preflight, "fetch_live_digest", fetch)
    own = factories.edition(url=f"{SITE}/issues/hello/")
    foreign = replace(own, url="http://169.254.169.254/latest/")
    refused = ask(pipeline, "/plan", [factories.old(), foreign], gate=True)["refusals"]
    assert len(refused) == 1
    assert "is not below" in refused[0]["sentence"]
    assert fetched == []
    ask(pipeline, "/plan", [factories.old(), own], gate=True)
    assert fetched == [own.url]


def test_a_redirect_off_the_site_is_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as site, socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.3)
        base, away = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (site, other))

        def serve() -> None:
            client, _ = site.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(f"HTTP/1.1 302 Found\r\nLocation: {away}/x\r\nContent-Length: 0\r\n\r\n".encode())

        threading.Thread(target=serve, daemon=True).start()
        assert fetch_live_digest(f"{base}/issue/", base, timeout=2) == ""
        with pytest.raises(TimeoutError):
            other.accept()
