"""API keys: what they may do is never rounded up, they end, and what they gave out ends with them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from api.v1.operations.users import PERMISSIONS
from mailer.commands.operations.api_keys import keys
from mailer.core.db import Database
from mailer.core.errors import PostmergeError, Refused
from mailer.flows.operations import api_keys
from mailer.store.operations.api_keys import ApiKey
from tests.web import Web

ALL_READ = dict.fromkeys(PERMISSIONS["admin"], "read")


def key_named(newsletter: Web, name: str) -> ApiKey:
    return next(key for key in api_keys.list_keys(newsletter.database) if key.name == name)


@pytest.mark.parametrize(
    "permissions",
    [
        {},
        {"subscriber": "none"},
        {"subscriber": "read"},
        {"subscriber": "write"},
        {"administrivia": "write"},
        {"sending": "read", "email": "read"},
        {"sending": "write", "email": "read"},
        ALL_READ,
        {**PERMISSIONS["admin"], "forms": "read"},
        {**PERMISSIONS["read"], "automations": "none"},
    ],
)
def test_permissions_that_match_no_scope_are_refused(newsletter: Web, api: TestClient, permissions: dict[str, str]) -> None:
    made = api.post("/v1/users", json={"email_address": "ci", "permissions": permissions})
    assert (made.status_code, made.json()["code"]) == (400, "permissions_invalid")
    assert 'publish: {"sending": "write"}' in made.json()["detail"]
    api_keys.create_key(newsletter.database, "ci", "publish")
    other = next(user for user in api.get("/v1/users").json()["results"] if user["email_address"] == "ci")
    assert api.patch(f"/v1/users/{other['id']}", json={"permissions": permissions}).status_code == 400
    assert key_named(newsletter, "ci").scope == "publish"


@pytest.mark.parametrize("scope", PERMISSIONS)
def test_the_permissions_of_a_scope_make_a_key_with_it(newsletter: Web, api: TestClient, scope: str) -> None:
    made = api.post("/v1/users", json={"email_address": "ci", "permissions": PERMISSIONS[scope]}).json()
    assert key_named(newsletter, "ci").scope == scope
    assert made["permissions"] == PERMISSIONS[scope]


def test_the_last_admin_key_neither_demotes_nor_revokes_itself(newsletter: Web, api: TestClient) -> None:
    [own] = api.get("/v1/users").json()["results"]
    expired = timedelta(seconds=-1)
    api_keys.create_key(newsletter.database, "expired", expires_in=expired)
    api_keys.create_key(newsletter.database, "reading", "read")
    refused = api.patch(f"/v1/users/{own['id']}", json={"permissions": PERMISSIONS["read"]})
    assert refused.status_code == 409
    assert "last valid admin key" in refused.json()["detail"]
    assert api.delete(f"/v1/users/{own['id']}").status_code == 409
    with pytest.raises(Refused, match="keys create"):
        api_keys.revoke_key(newsletter.database, "test")
    assert api.get("/v1/users").status_code == 200
    api_keys.create_key(newsletter.database, "second")
    assert api.patch(f"/v1/users/{own['id']}", json={"permissions": PERMISSIONS["read"]}).status_code == 200
    assert api.get("/v1/users").status_code == 403


def test_two_admin_keys_revoked_at_once_keep_one(newsletter: Web) -> None:
    names, refused = ("first", "second"), []
    for name in names:
        api_keys.create_key(newsletter.database, name)
    together = threading.Barrier(2)

    def revoke(name: str) -> None:
        database = Database(newsletter.database.url)
        together.wait()
        try:
            api_keys.revoke_key(database, name)
        except Refused as error:
            refused.append(error)
        database.close()

    threads = [threading.Thread(target=revoke, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(refused) == 1
    assert [key.is_valid for key in api_keys.list_keys(newsletter.database)].count(True) == 1


def test_a_key_that_may_only_publish_ends_in_a_year_unless_told_otherwise(newsletter: Web, api: TestClient) -> None:
    made = api.post("/v1/users", json={"email_address": "ci", "permissions": PERMISSIONS["publish"]}).json()
    left = datetime.fromisoformat(made["expiration_date"]) - datetime.now(UTC)
    assert timedelta(days=364) < left <= timedelta(days=365)
    payload = {"email_address": "for ever", "permissions": PERMISSIONS["publish"], "expiration_date": None}
    assert api.post("/v1/users", json=payload).json()["expiration_date"] is None
    soon = {**payload, "email_address": "soon", "expiration_date": "2999-01-01T00:00:00Z"}
    assert api.post("/v1/users", json=soon).json()["expiration_date"].startswith("2999-01-01")
    late = {**payload, "email_address": "late", "expiration_date": "2020-01-01T00:00:00Z"}
    assert api.post("/v1/users", json=late).json()["code"] == "expiration_date_invalid"
    subscriber_key = {"email_address": "subscriber_key", "permissions": PERMISSIONS["read"]}
    assert api.post("/v1/users", json=subscriber_key).json()["expiration_date"] is None


@pytest.mark.parametrize(
    ("options", "days"),
    [
        (["--scope", "publish"], 365),
        (["--scope", "publish", "--expires", "never"], None),
        (["--scope", "read"], None),
        (["--scope", "read", "--expires", "90d"], 90),
        (["--expires", "{in_30_days}"], 30),
    ],
)
def test_the_command_sets_when_a_key_expires(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch, options: list[str], days: int | None
) -> None:
    monkeypatch.setenv("DATABASE_URL", newsletter.database.url)
    day = f"{datetime.now(UTC).date() + timedelta(days=30)}"
    options = [option.format(in_30_days=day) for option in options]
    CliRunner().invoke(keys, ["create", "one", *options], catch_exceptions=False)
    expires_at = key_named(newsletter, "one").expires_at
    left = expires_at - datetime.now(UTC) if expires_at else None
    assert (left is None) is (days is None)
    if left and days:
        assert timedelta(days=days - 1) <= left <= timedelta(days=days)


@pytest.mark.parametrize("expires", ["0d", "9999d", "soon", "2020-01-01", "90"])
def test_an_expiry_that_cannot_be_is_refused(newsletter: Web, monkeypatch: pytest.MonkeyPatch, expires: str) -> None:
    monkeypatch.setenv("DATABASE_URL", newsletter.database.url)
    with pytest.raises(PostmergeError, match="--expires"):
        CliRunner().invoke(keys, ["create", "one", "--expires", expires], catch_exceptions=False)
    assert api_keys.list_keys(newsletter.database) == []


def test_a_request_without_a_valid_key_writes_nothing_to_the_database(newsletter: Web) -> None:
    app = newsletter.app()
    client = TestClient(app)
    client.headers["Authorization"] = "Token pm_wrong"
    before = newsletter.dump()
    for path in ("/v1/ping", "/v1/subscribers", "/v1/nothing", "/metrics", "/v1/exports"):
        assert client.get(path).status_code == 401
        assert client.post(path, json={}).status_code in (401, 405)
    assert TestClient(app).get("/v1/accounts/me").status_code == 401
    app.state.requests.flush()
    assert newsletter.dump() == before


@pytest.mark.parametrize("end", ["revoked", "expired", "demoted"])
def test_a_link_to_an_export_ends_with_the_key_that_asked_for_it(newsletter: Web, api: TestClient, end: str) -> None:
    api_keys.create_key(newsletter.database, "other")
    made = api.post("/v1/exports", json={"collections": ["subscribers"]}).json()
    path = made["url"].removeprefix(newsletter.settings.api_url)
    assert newsletter.client.get(path).status_code == 200
    if end == "revoked":
        api_keys.revoke_key(newsletter.database, "test")
    elif end == "demoted":
        api_keys.change_scope(newsletter.database, key_named(newsletter, "test"), "publish")
    else:
        with newsletter.database.transaction() as tx:
            tx.run("UPDATE api_keys SET expires_at = now() WHERE name = 'test'")
    assert newsletter.client.get(path).status_code == 404
