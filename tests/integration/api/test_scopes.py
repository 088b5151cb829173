"""The API's doors as a matrix: what a key of each scope may do on every route, written down as a promise."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from fastapi import FastAPI

from api.v1.common.authentication import is_allowed, is_open
from mailer.flows.operations.api_keys import SCOPES, create_key
from tests.web import Web

PRIVATE = {"users", "api_requests", "webhooks"}  # for admin alone: addresses of people, and signing keys
LISTS = {"subscribers", "tags", "segments", "notes", "bulk_actions", "imports", "exports"}
PUBLISHER = {"ping", "permissions", "publish", "previews", "sends"}
REVIEWER = {"ping", "permissions", "previews", "test_emails"}
VERBS = ("get", "post", "put", "patch", "delete")


def allowed(scope: str, verb: str, path: str) -> bool:
    """The promise of docs/reference/api.md."""
    word, _, rest = path.partition("/")
    if scope == "review":
        if re.fullmatch("emails/[^/]+/send-draft", path):
            return True
        return word in REVIEWER or (word == "publish" and rest.partition("/")[0] in ("missing", "editions", "plan"))
    if scope in ("admin", "publish"):
        return scope == "admin" or word in PUBLISHER
    if word in ("test_emails", "previews"):
        return False
    if verb == "get":
        return word not in PRIVATE | {"publish"}
    return scope == "subscribers" and word in LISTS


def routes(newsletter: Web) -> list[tuple[str, str]]:
    """One path for each first word and verb of the API."""
    found: dict[tuple[str, str], str] = {}
    app = newsletter.client.app
    assert isinstance(app, FastAPI)
    for path, verbs in app.openapi()["paths"].items():
        for verb in verbs:
            found.setdefault((path.split("/")[2], verb), re.sub(r"\{[^}]+\}", "1", path))
    return [(path, verb) for (_, verb), path in found.items()]


def test_each_scope_allows_its_own_operations_and_no_other(newsletter: Web) -> None:
    known = routes(newsletter)
    assert len(known) > 30
    for scope in SCOPES:
        key = {"Authorization": f"Token {create_key(newsletter.database, scope, scope)}"}
        for path, verb in known:
            answer = newsletter.client.request(verb, path, headers=key)
            refused = answer.status_code == 403 and answer.json()["code"] == "forbidden"
            if answer.status_code == 403 and answer.json()["code"] == "held_in_git":
                assert verb != "get", "only writing is refused to every key alike"
                continue
            assert refused is not allowed(scope, verb, path.removeprefix("/v1/")), (scope, verb, path, answer.status_code)


def test_without_a_key_every_operation_is_refused(newsletter: Web) -> None:
    for path, verb in routes(newsletter):
        if not is_open(verb.upper(), path):
            assert newsletter.client.request(verb, path).status_code == 401, (verb, path)
    for header in ("", "Token", "Token ", "Token pm_wrong", "Bearer pm_wrong"):
        assert newsletter.client.get("/v1/accounts/me", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("verb", [*VERBS, "head", "options"])
@pytest.mark.parametrize(
    "word",
    [
        *sorted(PRIVATE | LISTS | PUBLISHER | REVIEWER),
        "publish/plan",
        "publish/x",
        "emails",
        "emails/1/send-draft",
        "emails/1/publish",
        "emails/send-draft",
        "something-new",
        "",
    ],
)
def test_the_rule_holds_for_words_that_have_no_route_yet(verb: str, word: str) -> None:
    for scope in SCOPES:
        assert is_allowed(scope, verb.upper(), word) is allowed(scope, "get" if verb == "head" else verb, word)


@pytest.mark.parametrize(("lasts", "status"), [(None, 200), (timedelta(hours=1), 200), (-timedelta(seconds=1), 401)])
def test_an_expired_key_is_refused(newsletter: Web, lasts: timedelta | None, status: int) -> None:
    key = create_key(newsletter.database, "one", expires_in=lasts)
    assert newsletter.client.get("/v1/ping", headers={"Authorization": f"Token {key}"}).status_code == status
