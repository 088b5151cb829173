"""A key that may only publish: it learns nothing about subscribers, and the server fetches nothing for it but the site."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from mailer.core.edition import Edition, Variant
from mailer.core.message import UNSUBSCRIBE_URL
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
    assert "'subscribers': None" in told.pop()


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


@pytest.mark.parametrize("state", ["scheduled", "holding", "sending", "paused", "stopped", "finished", "cancelled"])
def test_a_send_looks_the_same_to_the_key_however_it_goes(newsletter: Web, pipeline: TestClient, state: str) -> None:
    send_id = newsletter.send()
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE sends SET state = %(state)s, reason = 'x' WHERE id = %(id)s", state=state, id=send_id)
    seen = pipeline.get(f"/v1/sends/{send_id}").json()
    assert seen == pipeline.get("/v1/sends").json()["results"][0]
    assert seen["state"] == (state if state in ("scheduled", "cancelled") else "holding")
    hidden = ("audience", "reason", "waiting_reason", "deliveries", "watch_until", "started_at", "finished_at")
    assert not any(seen[name] for name in hidden)


@pytest.mark.parametrize("asked", ["change", "refusal", "removal"])
def test_a_send_to_nobody_that_was_paused_looks_like_any_that_waits(newsletter: Web, pipeline: TestClient, asked: str) -> None:
    factories.add_subscribers(newsletter.database, 3, ("python",))
    answers = []
    for rule in ("python", "no-such-tag"):
        issue = factories.edition("issue", audience=rule)
        ask(pipeline, "", [factories.old(), issue])
        changed = replace(issue, subject="Another subject")
        finding = {"level": "error", "path": issue.path, "line": 1, "message": "Wrong."}
        more = {
            "change": ([changed], {}),
            "refusal": ([changed], {"findings": [finding]}),
            "removal": ([], {}),
        }[asked]
        for path in ("/plan", ""):
            answer = ask(pipeline, path, [factories.old(), *more[0]], **more[1])
            answers.append(re.sub(r"[0-9]{4}-[0-9T:. +-]+(UTC)?|(?<=[Ss]end )[0-9]+|(?<=cancel )[0-9]+", "", repr(answer)))
        ask(pipeline, "", [factories.old()])
    assert answers[:2] == answers[2:]


@pytest.mark.parametrize("path", ["/plan", ""])
def test_an_uploaded_email_that_gives_subscribers_links_away_is_refused(
    newsletter: Web, pipeline: TestClient, path: str
) -> None:
    factories.add_subscribers(newsletter.database, 1)
    image = f'<img src="https://example.net/?{UNSUBSCRIBE_URL}">'
    issue = factories.edition()
    variant = Variant("de", "", image, "Text", "<p>de</p>", hashlib.sha256(b"<p>de</p>").hexdigest())
    for one in (replace(issue, html=image), replace(issue, variants=(variant,))):
        answer = ask(pipeline, path, [factories.old(), one])
        assert "placeholder of the unsubscribe link" in repr(answer)
    assert newsletter.counted("sends") == 0


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


@pytest.mark.parametrize(
    "change",
    [
        {"sender": "ada@example.org\r\nBcc: mallory@evil.example"},
        {"sender": 1},
        {"reply_to": "ada@example.org, mallory@evil.example"},
        {"sender": "Ada <\u00e4da@example.org>"},
        {"lang": "en\r\nX: y"},
        {"variants": [{**vars(Variant("de", "", "", "", "", hashlib.sha256().hexdigest())), "lang": "de\nX: y"}]},
        {"variants": [{**vars(Variant("de", "", "", "", "", hashlib.sha256().hexdigest())), "html": 7}]},
        {"number": 10**30},
        {"number": 0},
        {"number": 2.5},
        {"key": ""},
        {"key": 7},
        {"html": None},
        {"audience": 7},
        {"dated": "2026-11-29T06:00:00"},
        {"send_at": "2026-11-29T06:00:00"},
    ],
    ids=repr,
)
def test_an_uploaded_edition_that_no_build_writes_is_refused(pipeline: TestClient, change: dict[str, Any]) -> None:
    raw = json.dumps({**json.loads(edition_files.to_bytes(factories.edition())), **change}).encode()
    digest = hashlib.sha256(raw).hexdigest()
    assert pipeline.put(f"/v1/publish/editions/{digest}", content=raw).status_code == 422
    assert pipeline.post("/v1/publish/missing", json={"editions": [digest]}).json()["missing"] == [digest]
