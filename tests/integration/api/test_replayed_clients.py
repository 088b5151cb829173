"""What programs written for Buttondown ask is answered as docs/reference/api.md says; the table there is made from this test.

``POSTMERGE_NEW_TABLE=1 pytest tests/integration/api/test_replayed_clients.py`` writes the table.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from tests import web
from tests.conftest import ROOT
from tests.data.client_requests import CLIENTS, Asked, Client
from tests.integration.api.test_drafts import PNG, git
from tests.web import Web

GUIDE = ROOT / "docs" / "reference" / "api.md"
BEGIN, END = "<!-- table: tests/integration/api/test_replayed_clients.py -->", "<!-- end of the clients -->"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    """A newsletter with a repository."""
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "work"))
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "work"), str(tmp_path / "letter.git"))
    return web.make(tmp_path, database, repository=str(tmp_path / "letter.git"), site_url="https://news.example.org")


@pytest.fixture
def known(api: TestClient) -> dict[str, str]:
    """Ids and addresses that exist."""
    made = {
        "sub": api.post("/v1/subscribers", json={"email_address": "ada@example.org", "type": "regular"}),
        "email": api.post("/v1/emails", json={"subject": "There already", "body": "Text", "status": "draft"}),
        "tag": api.post("/v1/tags", json={"name": "There", "color": "#0069FF"}),
        "hook": api.post("/v1/webhooks", json={"url": "https://hooks.example.org/y", "event_types": ["subscriber.created"]}),
        "image": api.post("/v1/images", files={"image": ("there.png", PNG)}),
    }
    ids = {name: answer.json()["image" if name == "image" else "id"] for name, answer in made.items()}
    return {**ids, "news": api.get("/v1/newsletters").json()["results"][0]["id"]}


def fill(text: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def ask(api: TestClient, asked: Asked, known: dict[str, str]) -> Any:
    method, _, path = fill(asked.line, known).partition(" ")
    if isinstance(asked.body, dict) and set(asked.body) == {"image"}:
        return api.request(method, f"/v1{path}", files={"image": (asked.body["image"], PNG + b"new")})
    body = {} if asked.body is None else {"json": json.loads(fill(json.dumps(asked.body), known))}
    return api.request(method, f"/v1{path}", headers=asked.headers, **body)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda one: one.name)
def test_each_request_of_a_client_is_answered_as_the_guide_says(
    newsletter: Web, api: TestClient, known: dict[str, str], client: Client
) -> None:
    wrong = []
    for asked in client.requests:
        answer = ask(api, asked, known)
        if answer.status_code != asked.status:
            wrong.append(f"{asked.line} {asked.body}: {answer.status_code}, not {asked.status}: {answer.text[:300]}")
        if answer.status_code >= 400:
            assert answer.json()["detail"], asked
    assert not wrong, "\n".join(wrong)
    assert newsletter.counted("sends") == 0
    drafts = [asked for asked in client.requests if asked.line == "POST /emails" and asked.status == 201]
    branches = git(newsletter.settings.build.parent / "letter.git", "for-each-ref", "refs/heads/postmerge").splitlines()
    deleted = sum(asked.line == "DELETE /emails/{email}" and asked.status == 204 for asked in client.requests)
    assert len(branches) == len(drafts) + 1 - deleted


def describe(client: Client) -> str:
    """The row of a client: how many of its requests work, and which are refused, and why."""
    refused = [asked for asked in client.requests if asked.status >= 400]
    whys: dict[str, list[str]] = {}
    for asked in refused:
        whys.setdefault(asked.why, []).append(f"`{asked.line.partition('?')[0]}`")
    reasons = "; ".join(f"{', '.join(dict.fromkeys(lines))}: {why}" for why, lines in whys.items()) or "nothing"
    return f"| {client.name} ({client.source}) | {len(client.requests) - len(refused)} of {len(client.requests)} | {reasons} |"


def test_the_guide_has_the_table_of_clients() -> None:
    head = ["| program | requests that work | refused |", "|---|---|---|"]
    table = "\n".join([BEGIN, *head, *map(describe, CLIENTS), END])
    text = GUIDE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    assert BEGIN in text
    if os.environ.get("POSTMERGE_NEW_TABLE"):
        GUIDE.write_text(before + table + after, encoding="utf-8")
    else:
        assert text == before + table + after, "run POSTMERGE_NEW_TABLE=1 pytest tests/integration/api/test_replayed_clients.py"


def test_whatever_is_refused_has_its_reason_and_most_work() -> None:
    every = [asked for client in CLIENTS for asked in client.requests]
    assert all(asked.why for asked in every if asked.status >= 400)
    assert not any(asked.why for asked in every if asked.status < 400)
    assert Counter(asked.status < 400 for asked in every)[True] > 100
