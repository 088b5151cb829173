"""The REST API and its keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bench import api_table
from mailer.core.async_db import Asker
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.flows.operations import api_keys
from mailer.flows.sending.send_status import list_send_statuses, send_facts
from mailer.flows.subscribers import signup
from tests import commands, factories
from tests.web import Web

ADA = "ada@example.org"


@pytest.fixture
def api(newsletter: Web) -> TestClient:
    """A client that holds a key."""
    return newsletter.holder(api_keys.DEFAULT_REQUESTS_PER_MINUTE)


def add(newsletter: Web, email: str, *tags: str) -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, email, tags, confirmed=True)


def test_a_key_is_valid_until_it_is_revoked(newsletter: Web, api: TestClient) -> None:
    assert api.get("/v1/ping").status_code == 200
    api_keys.revoke_key(newsletter.database, "test", even_last=True)
    answer = api.get("/v1/ping")
    assert answer.status_code == 401
    assert answer.json().keys() == {"code", "detail", "metadata"}


@pytest.mark.parametrize("header", ["", "Token", "Token ", "Token wrong", "Bearer x", "Token pm_\xe9", "Basic dG9rZW4="])
@pytest.mark.parametrize("path", ["/v1/accounts/me", "/v1/subscribers", "/v1/sends", "/v1/nothing"])
def test_without_a_key_nothing_is_said(newsletter: Web, header: str, path: str) -> None:
    answer = newsletter.client.get(path, headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    code = "authentication_invalid" if header in ("Token wrong", "Token pm_\xe9") else "authentication_missing"
    assert answer.json()["code"] == code
    assert newsletter.client.post("/v1/subscribers", json={"email_address": ADA}).status_code == 401
    assert newsletter.state(ADA) is None


def test_only_a_keys_hash_is_stored(newsletter: Web) -> None:
    key = api_keys.create_key(newsletter.database, "dashboard")
    assert key not in newsletter.dump()
    with newsletter.database.transaction() as tx:
        assert bytes(tx.value("SELECT hash FROM api_keys")) == hashlib.sha256(key.encode()).digest()


def test_a_name_is_free_again_after_its_key_was_revoked(newsletter: Web) -> None:
    first = api_keys.create_key(newsletter.database, "dashboard", "read")
    with pytest.raises(BadInput, match="already"):
        api_keys.create_key(newsletter.database, "dashboard")
    api_keys.revoke_key(newsletter.database, "dashboard")
    second = api_keys.create_key(newsletter.database, "dashboard")
    assert asyncio.run(api_keys.check_key(Asker(newsletter.database.url), first)) is None
    assert asyncio.run(api_keys.check_key(Asker(newsletter.database.url), second))
    with pytest.raises(BadInput, match="There is no valid key 'other'"):
        api_keys.revoke_key(newsletter.database, "other")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 61, "<b>"])
def test_a_keys_name_is_plain(newsletter: Web, name: str) -> None:
    with pytest.raises(BadInput):
        api_keys.create_key(newsletter.database, name)


def test_the_commands_make_list_and_revoke_a_key(newsletter: Web, tmp_path: Path) -> None:
    def run(*words: str, status: int = 0) -> str:
        done = commands.run(tmp_path, {**os.environ, "DATABASE_URL": newsletter.database.url}, "keys", *words)
        assert done.returncode == status, done.stderr
        return (done.stdout + done.stderr).strip()

    key = run("create", "dashboard")
    assert newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {key}"}).status_code == 200
    [listed] = json.loads(run("list", "--json"))
    assert listed["name"] == "dashboard"
    assert listed["revoked_at"] is None
    assert key not in run("list")
    assert "last valid admin key" in run("revoke", "dashboard", "--yes", status=1)
    assert newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {key}"}).status_code == 200
    run("revoke", "dashboard", "--last", "--yes")
    assert newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {key}"}).status_code == 401


def test_subscribers_come_in_pages_of_100_newest_first(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 250)
    first = api.get("/v1/subscribers").json()
    assert first["count"] == 250
    assert len(first["results"]) == 100
    assert first["previous"] is None
    second = api.get(first["next"].removeprefix(newsletter.settings.api_url)).json()
    third = api.get(second["next"].removeprefix(newsletter.settings.api_url)).json()
    assert third["next"] is None
    assert len(third["results"]) == 50
    emails = [one["email_address"] for page in (first, second, third) for one in page["results"]]
    assert emails == [f"subscriber-{n}@example.org" for n in range(250, 0, -1)]


def test_a_filter_that_is_not_known_is_refused_instead_of_ignored(api: TestClient) -> None:
    answer = api.get("/v1/subscribers", params={"colour": "red"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert "no filter 'colour' here" in answer.json()["detail"]
    assert api.get("/v1/tags?colour=red").status_code == 400
    assert api.get("/v1/subscribers?page=0").status_code == 422
    [entry] = api.get("/v1/subscribers?page=x").json()["detail"]
    assert entry["msg"].count(".") == 1


def test_a_subscriber_is_found_by_id_and_by_address(newsletter: Web, api: TestClient) -> None:
    add(newsletter, ADA, "python")
    by_email = api.get(f"/v1/subscribers/{ADA.upper()}").json()
    assert by_email["email_address"] == ADA
    assert by_email["type"] == "regular"
    assert by_email["tags"] == ["python"]
    assert isinstance(by_email["id"], str)
    assert api.get(f"/v1/subscribers/{by_email['id']}").json() == by_email


@pytest.mark.parametrize("name", ["0", "999", "99999999999999999999999", "-1", "x", "none@example.org", "²", "%00"])
def test_an_unknown_subscriber_is_not_found(api: TestClient, name: str) -> None:
    answer = api.get(f"/v1/subscribers/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_adding_asks_the_subscriber_first_unless_there_is_evidence(newsletter: Web, api: TestClient) -> None:
    asked = api.post("/v1/subscribers", json={"email_address": ADA, "tags": ["python"]})
    assert asked.status_code == 201
    assert asked.json()["type"] == "unactivated"
    assert asked.json()["source"] == "api"
    assert len(newsletter.wake_ups) == 1
    newsletter.work()
    assert [email.to for email in newsletter.emails()] == [ADA]
    given = api.post("/v1/subscribers", json={"email_address": "grace@example.org", "type": "regular"})
    assert given.json()["type"] == "regular"
    newsletter.work()
    assert len(newsletter.emails()) == 1


def test_adding_somebody_known_is_refused_even_when_they_left(newsletter: Web, api: TestClient) -> None:
    add(newsletter, ADA)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = now()")
    for kind in ("unactivated", "regular"):
        answer = api.post("/v1/subscribers", json={"email_address": ADA, "type": kind})
        assert answer.status_code == 400
        assert answer.json()["code"] == "email_already_exists"
    assert newsletter.state(ADA) == "unsubscribed"
    assert newsletter.counted("transactional_emails") == 0


def test_a_suppressed_address_is_not_added_by_evidence(newsletter: Web, api: TestClient) -> None:
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=ADA)
    answer = api.post("/v1/subscribers", json={"email_address": ADA, "type": "regular"})
    assert answer.json()["code"] == "subscriber_suppressed"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email_address": "nobody"},
        {"email_address": 7},
        {"email_address": ADA, "tags": ["a\0b"]},
        {"email_address": ADA, "tags": "python"},
        {"email_address": ADA, "type": "premium"},
        {"email_address": ADA, "colour": "red"},
        {"email_address": ADA, "tags": ["x"] * 101},
        {"email_address": ADA, "metadata": [1]},
        {"email_address": ADA, "ip_address": "300.1.1.1"},
        [],
        None,
    ],
)
def test_what_cannot_be_used_is_refused_with_a_code_and_one_sentence(newsletter: Web, api: TestClient, body: Any) -> None:
    answer = api.post("/v1/subscribers", json=body)
    assert answer.status_code in (400, 422)
    assert answer.json().keys() >= {"code", "detail"}
    assert newsletter.counted("subscribers") == 0


def test_broken_json_and_unknown_addresses_are_errors_of_the_same_shape(api: TestClient) -> None:
    broken = api.post("/v1/subscribers", content=b"{", headers={"Content-Type": "application/json"})
    missing, wrong = api.get("/v1/nothing"), api.put("/v1/ping")
    assert [broken.status_code, missing.status_code] == [422, 404]
    assert wrong.status_code in (404, 405)
    for answer in (broken, missing, wrong):
        assert answer.json().keys() >= {"code", "detail"}


def test_sends_say_what_the_status_command_says(newsletter: Web, api: TestClient) -> None:
    send_id = newsletter.send(3)
    [facts] = [send_facts(one) for one in list_send_statuses(newsletter.database)]
    [listed] = api.get("/v1/sends").json()["results"]
    assert listed == api.get(f"/v1/sends/{send_id}").json() == api.get(f"/v1/sends/{facts['issue']}").json()
    for name in ("issue", "edition", "digest", "state", "audience", "deliveries", "subject"):
        assert listed[name] == facts[name]
    assert listed["id"] == str(send_id)
    assert listed["deliveries"]["accepted"] == 3
    assert api.get("/v1/sends/999").status_code == 404


def test_when_postgres_is_away_the_api_says_so_in_json(newsletter: Web) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    answer = TestClient(newsletter.app(database=away)).get("/v1/ping", headers={"Authorization": "Token x"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json().keys() >= {"code", "detail"}


def test_the_description_lists_the_api_and_nothing_else(newsletter: Web) -> None:
    described = newsletter.client.get("/openapi.json").json()
    assert {path.split("/")[1] for path in described["paths"]} == {"v1"}
    assert "HTTPValidationError" not in described["components"]["schemas"]


@pytest.mark.parametrize("path", ["/v1/subscribers", "/v1/sends", "/v1/ping", "/v1/subscribers/0", "/v1/nothing"])
def test_no_cache_keeps_an_answer_of_the_api(newsletter: Web, path: str) -> None:
    assert newsletter.holder().get(path).headers["cache-control"] == "no-store"
    assert newsletter.client.get(path).headers["cache-control"] == "no-store"


def test_the_docs_load_nothing_from_elsewhere(newsletter: Web) -> None:
    page = newsletter.client.get("/docs")
    assert re.findall(r'(?:src|href)="(?!/)[^"]*', page.text) == []
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy
    for path in ("/docs/files/swagger-ui.css", "/docs/files/swagger-ui-bundle.js", "/-/docs.js"):
        assert newsletter.client.get(path).status_code == 200
    for name in ("", "index.html", "oauth2-redirect.html", "swagger-initializer.js"):
        assert newsletter.client.get(f"/docs/files/{name}").status_code == 404


def test_what_we_have_of_buttondowns_api_is_shaped_like_theirs(newsletter: Web) -> None:
    theirs = api_table.contract()["components"]["schemas"]
    ours = newsletter.client.get("/openapi.json").json()["components"]["schemas"]
    assert set(ours["Subscriber"]["properties"]) <= set(theirs["Subscriber"]["properties"])
    assert set(ours["SubscriberInput"]["properties"]) <= set(theirs["SubscriberInput"]["properties"])
    assert set(ours["SubscriberPage"]["properties"]) == set(theirs["SubscriberPage"]["properties"])
    assert set(ours["ErrorMessage"]["properties"]) <= set(theirs["ErrorMessage"]["properties"])
