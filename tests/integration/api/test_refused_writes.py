"""A write of the API that is refused leaves the database as it was, however much of its body is good."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bench import api_table
from mailer.core import form_fields
from mailer.core.db import Tx
from tests.web import Web

ADA, BOB, GONE, NEW = "ada@example.org", "bob@example.org", "gone@example.org", "new@example.org"
LARGE = {"b": "x" * (form_fields.MAX_METADATA_CHARS - 50)}  # may be stored, but not beside what the subscribers have
EVERYBODY = {"filters": [], "groups": [], "predicate": "and"}
ITSELF = {**EVERYBODY, "filters": [{"field": "subscriber.segment", "operator": "equals", "value": "circle"}]}
ADD, OVERWRITE = ({"X-Buttondown-Collision-Behavior": one} for one in ("add", "overwrite"))
# Counted whether or not a request is refused
COUNTED = ("api_", "idempotency", "limits", "signup_minutes", "tallies")

# Method, path, body and headers. What is refused comes last.
REFUSED: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
    ("POST", "/subscribers", {"email_address": GONE, "tags": ["c"], "notes": "n", "metadata": LARGE}, ADD),
    ("POST", "/subscribers", {"email_address": ADA, "tags": ["c"], "notes": "n", "metadata": LARGE}, ADD),
    ("POST", "/subscribers", {"email_address": ADA, "tags": ["c"], "notes": "n", "type": "premium"}, OVERWRITE),
    ("POST", "/subscribers", {"email_address": GONE, "tags": ["c"], "notes": "n"}, OVERWRITE),
    ("POST", "/subscribers", {"email_address": BOB, "tags": ["c"], "notes": "n", "type": "regular"}, ADD),
    ("POST", "/subscribers", {"email_address": NEW, "tags": ["c"], "notes": "n", "metadata": {"b": "x" * 50_000}}, {}),
    ("POST", "/subscribers", {"email_address": NEW, "tags": ["c"], "notes": "n", "ip_address": "1.2.3"}, {}),
    ("PATCH", f"/subscribers/{ADA}", {"tags": ["c"], "notes": "n", "email_address": BOB}, {}),
    ("PATCH", f"/subscribers/{ADA}", {"tags": ["c"], "notes": "n", "email_address": "x"}, {}),
    ("PATCH", f"/subscribers/{GONE}", {"tags": ["c"], "email_address": NEW, "type": "regular"}, {}),
    ("PATCH", f"/subscribers/{ADA}", {"email_address": NEW, "tags": ["c"], "type": "premium"}, {}),
    ("POST", f"/subscribers/{BOB}/unsuppress", {"reason": "It was a mistake."}, {}),
    ("POST", "/tags", {"name": "A", "color": "#000000"}, {}),
    ("POST", "/tags", {"color": "#000000", "name": "\t"}, OVERWRITE),
    ("PATCH", "/tags/{tag}", {"color": "#000000", "description": "d", "name": "b"}, {}),
    ("POST", "/segments", {"name": "circle", "description": "d", "filters": ITSELF}, {}),
    ("PATCH", "/segments/{segment}", {"name": "circle", "description": "d", "filters": ITSELF}, {}),
    ("PATCH", "/segments/{segment}", {"description": "d", "filters": EVERYBODY, "name": "other"}, {}),
    ("POST", "/notes", {"body": "n", "model_type": "subscriber", "model_id": "sub_nobody"}, {}),
    ("POST", "/users", {"email_address": "test", "permissions": {"sending": "write"}}, {}),
    ("POST", "/users", {"permissions": {"sending": "write"}, "email_address": "x", "expiration_date": "2020-01-01T00:00Z"}, {}),
    ("PATCH", "/users/{user}", {"permissions": {"sending": "write"}}, {}),
    ("POST", "/webhooks", {"url": "https://example.org/", "event_types": ["subscriber.created", "subscriber.flew"]}, {}),
    ("PATCH", "/webhooks/{webhook}", {"event_types": ["subscriber.created"], "url": "http://10.0.0.1/"}, {}),
    ("PATCH", "/webhooks/{webhook}", {"url": "https://example.org/", "event_types": ["subscriber.flew"]}, {}),
    ("POST", "/bulk_actions", {"type": "apply_tags", "metadata": {"ids": ["all"], "tag_ids": [""]}}, {}),
    ("POST", "/bulk_actions", {"type": "apply_metadata", "metadata": {"ids": ["all"], "action": "set", "metadata": []}}, {}),
    ("PATCH", "/imports/{waiting}", {"label": "l", "metadata": {"tags": ["c"], "format": "stone"}}, {}),
    ("PATCH", "/imports/{done}", {"label": "l", "metadata": {"tags": ["c"]}}, {}),
    ("PATCH", "/imports/{done}", {"label": "l", "status": "in_progress"}, {}),
    ("POST", "/exports", {"collections": ["subscribers"], "columns": ["shoe_size"]}, {}),
    ("POST", "/exports", {"collections": ["subscribers"], "parameters": {"type": ["wise"]}}, {}),
    ("PUT", f"/publish/editions/{'0' * 64}", {"subject": "s"}, {}),
    ("POST", "/publish", {"editions": ["0" * 64], "allow": ["everything"]}, {}),
    ("POST", "/test_emails", {"edition": "0" * 64, "to": [ADA]}, {}),
]
WITHOUT_A_CHANGE = {"POST /v1/publish/missing", "POST /v1/publish/plan"}
IN_GIT = {
    "POST /v1/emails",
    "PATCH /v1/emails/{}",
    "POST /v1/emails/{}/send-draft",
}  # refused without a repository: test_drafts


@pytest.fixture
def ids(newsletter: Web, api: TestClient) -> dict[str, str]:
    """A row of each kind; their public ids."""
    for email, kind in ((ADA, "regular"), (GONE, "unsubscribed"), (BOB, "regular")):
        body = {"email_address": email, "type": kind, "tags": ["a"], "metadata": {"a": "y" * 100}, "notes": "first"}
        assert api.post("/v1/subscribers", json=body).status_code == 201
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, 'complaint')", email=BOB)
        tx.run("INSERT INTO tags (name, label) VALUES ('b', 'b')")
    segment = api.post("/v1/segments", json={"name": "used", "filters": EVERYBODY}).json()["id"]
    uses = {**EVERYBODY, "filters": [{"field": "subscriber.segment", "operator": "equals", "value": "used"}]}
    assert api.post("/v1/segments", json={"name": "circle", "filters": uses}).status_code == 201
    webhook = {"url": "https://example.com/", "event_types": ["subscriber.created"], "description": "d", "status": "disabled"}
    waiting, done = (
        api.post("/v1/imports", files={"file": ("list.csv", b"email\nson@example.org\n")}).json()["id"] for _ in range(2)
    )
    assert api.patch(f"/v1/imports/{done}", json={"status": "in_progress"}).json()["status"] == "succeeded"
    return {
        "tag": next(one["id"] for one in api.get("/v1/tags").json()["results"] if one["name"] == "a"),
        "segment": segment,
        "user": api.get("/v1/users").json()["results"][0]["id"],
        "webhook": api.post("/v1/webhooks", json=webhook).json()["id"],
        "waiting": waiting,
        "done": done,
    }


def _digest_tables(tx: Tx) -> dict[str, str]:
    """The digest of the rows of each table."""
    names = [row["tablename"] for row in tx.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    parts = [
        f"SELECT '{name}' AS name, md5(string_agg(concat({name}, {name}.xmin), '' ORDER BY {name}::text)) AS digest FROM {name}"
        for name in names
        if not name.startswith(COUNTED)
    ]
    return {row["name"]: row["digest"] for row in tx.often_all(" UNION ALL ".join(parts))}


def test_a_refused_write_changes_nothing(newsletter: Web, api: TestClient, ids: dict[str, str]) -> None:
    with newsletter.database.transaction() as tx:
        before, problems = _digest_tables(tx), []
    for method, path, body, headers in REFUSED:
        answer = api.request(method, "/v1" + path.format(**ids), json=body, headers=headers)
        with newsletter.database.transaction() as tx:
            after = _digest_tables(tx)
        changed = [name for name in after if after[name] != before[name]]
        if answer.status_code not in (400, 409, 422) or changed:
            problems.append(f"{changed}: {method} {path} {str(body)[:120]}: {answer.status_code} {answer.text[:200]}")
        before = after
    assert not problems, "\n".join(problems)


def test_each_write_with_a_body_is_among_those_that_are_refused() -> None:
    asked = {
        f"{method} /v1{re.sub('/(' + ADA + '|' + GONE + '|' + BOB + '|{[a-z]+}|0{64})', '/{}', path)}"
        for method, path, *_ in REFUSED
    }
    writes = {
        f"{method} {path}"
        for method, path, facts in api_table.operations(api_table.ours())
        if method != "GET" and "application/json" in facts.get("requestBody", {}).get("content", {})
    }
    assert asked | WITHOUT_A_CHANGE | IN_GIT == writes
