"""``Idempotency-Key`` over time: a response is kept for a day, unfinished work for a minute, a failure not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.responses import JSONResponse, Response
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from api.common.dependencies import AppContext
from api.v1.common.idempotency import IdempotencyMiddleware
from mailer.core.db import Database
from mailer.flows.operations import api_keys, idempotency
from mailer.store.operations import idempotency as stored_idempotency
from tests import factories, web
from tests.web import Web


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.fixture
def key_id(newsletter: Web) -> int:
    api_keys.create_key(newsletter.database, "test")
    return 1


def age(newsletter: Web, time: str) -> None:
    with newsletter.database.transaction() as tx:
        tx.run(f"UPDATE idempotency SET at = at - interval '{time}'")


def claim(newsletter: Web, key_id: int, name: str = "one", digest: bytes = b"d") -> bool:
    with newsletter.database.transaction() as tx:
        return stored_idempotency.claim(tx, key_id, name, digest)


@pytest.mark.parametrize(
    ("is_finished", "time", "is_free"),
    [
        (True, "0 seconds", False), (True, "59 seconds", False), (True, "61 seconds", False), (True, "2 hours", False),
        (True, "23 hours 59 minutes", False), (True, "24 hours 1 minute", True),
        (False, "0 seconds", False), (False, "55 seconds", False), (False, "61 seconds", True), (False, "25 hours", True),
    ],
)  # fmt: skip
def test_a_name_is_free_again_a_day_after_an_answer_and_a_minute_after_a_death(
    newsletter: Web, key_id: int, is_finished: bool, time: str, is_free: bool
) -> None:
    assert claim(newsletter, key_id)
    if is_finished:
        with newsletter.database.transaction() as tx:
            stored_idempotency.finish(tx, key_id, "one", 201, "{}")
    age(newsletter, time)
    assert claim(newsletter, key_id) is is_free
    assert claim(newsletter, key_id) is False  # whoever took it has it


def test_a_name_belongs_to_its_key_and_its_request(newsletter: Web, key_id: int) -> None:
    api_keys.create_key(newsletter.database, "other")

    def begin(key: int, name: str, whole: bytes) -> stored_idempotency.SavedResponse | None:
        return idempotency.begin_request(newsletter.database, idempotency.identify_request("secret", key, name, whole))

    assert begin(1, "one", b"d") is None
    with pytest.raises(idempotency.IdempotencyConflict, match="still in progress"):
        begin(1, "one", b"d")
    with pytest.raises(idempotency.IdempotencyConflict, match="another request"):
        begin(1, "one", b"other")
    assert begin(1, "two", b"d") is None
    assert begin(2, "one", b"d") is None
    identity = idempotency.identify_request("secret", 1, "one", b"d")
    idempotency.save_response(newsletter.database, identity, 201, '{"a": 1}')
    found = begin(1, "one", b"d")
    assert found
    assert (found.status, found.body) == (201, '{"a": 1}')


def test_the_work_is_done_once_also_after_a_minute_and_again_after_a_day(newsletter: Web) -> None:
    api = newsletter.holder()
    for time, replayed in (("0 seconds", False), ("2 minutes", True), ("20 hours", True), ("25 hours", False)):
        age(newsletter, time)
        answer = api.post("/v1/subscribers", json={"email_address": "ada@example.org"}, headers={"Idempotency-Key": "one"})
        assert ("Idempotency-Replayed" in answer.headers) is replayed
        with newsletter.database.transaction() as tx:
            tx.run("UPDATE idempotency SET at = now()")
    assert newsletter.counted("subscribers") == 1


def ask(newsletter: Web, key_id: int, name: str, work: Callable[[], Response], path: str = "/v1/tags") -> Any:
    """Post an empty body to an app that only does this work, as the key's owner."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await work()(scope, receive, send)

    async def admit(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"key": SimpleNamespace(id=key_id)}
        await IdempotencyMiddleware(app, context(newsletter))(scope, receive, send)

    return TestClient(admit).post(path, headers={"Idempotency-Key": name})


@pytest.mark.parametrize(
    ("status", "is_kept"),
    [(201, True), (400, True), (404, True), (409, True), (422, True), (429, False), (499, True), (500, False), (503, False)],
)
def test_what_a_retry_may_not_meet_is_tried_again_and_the_rest_is_not(
    newsletter: Web, key_id: int, status: int, is_kept: bool
) -> None:
    done: list[int] = []

    def work() -> Response:
        done.append(1)
        return JSONResponse({"detail": "Said so."}, status)

    answers = [ask(newsletter, key_id, "one", work) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    assert answers[0].text == answers[1].text
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true" if is_kept else None]
    assert len(done) == (1 if is_kept else 2)


def test_work_that_breaks_is_tried_again(newsletter: Web, key_id: int) -> None:
    def broken() -> Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(newsletter, key_id, "one", broken)
    assert ask(newsletter, key_id, "one", lambda: JSONResponse({"a": 1}, 201)).status_code == 201
    again = ask(newsletter, key_id, "one", broken)
    assert (again.status_code, again.content, again.headers["Idempotency-Replayed"]) == (201, b'{"a":1}', "true")


@pytest.mark.parametrize(("name", "path"), [("", "/v1/tags"), ("  ", "/v1/tags"), ("one", "/v1/publish"), ("one", "/webhooks")])
def test_no_key_and_what_may_be_repeated_anyway_is_not_kept(newsletter: Web, key_id: int, name: str, path: str) -> None:
    answers = [ask(newsletter, key_id, name, lambda: JSONResponse({}, 201), path) for _ in range(2)]
    assert ["Idempotency-Replayed" in answer.headers for answer in answers] == [False, False]
    assert newsletter.counted("idempotency") == 0


CSV = b"email,confirmed\neve@example.org,2024-01-01\n"
FILTERS = {"filters": [{"field": "subscriber.tags", "operator": "contains", "value": "vip"}], "groups": [], "predicate": "and"}
MAKERS: dict[str, tuple[str, dict[str, Any]]] = {  # the table, and what is sent
    "/v1/subscribers": ("subscribers", {"json": {"email_address": "eve@example.org", "type": "regular"}}),
    "/v1/tags": ("tags", {"json": {"name": "vip", "color": "#ff0000"}}),
    "/v1/segments": ("segments", {"json": {"name": "Friends", "filters": FILTERS}}),
    "/v1/notes": ("notes", {"json": {"body": "Met", "model_type": "subscriber", "model_id": "1"}}),
    "/v1/users": ("api_keys", {"json": {"email_address": "ci@example.org", "permissions": {"sending": "write"}}}),
    "/v1/webhooks": ("webhooks", {"json": {"url": "https://93.184.215.14/", "event_types": ["subscriber.created"]}}),
    "/v1/webhooks/1/test": ("webhook_messages", {}),
    "/v1/bulk_actions": ("bulk_actions", {"json": {"type": "apply_tags", "metadata": {"ids": ["1"], "tags": ["a"]}}}),
    "/v1/imports": ("imports", {"files": {"file": ("list.csv", CSV, "text/csv")}}),
    "/v1/exports": ("exports", {"json": {"collections": ["subscribers"]}}),
    "/v1/subscribers/1/send-magic-link": ("transactional_emails", {}),
}


@pytest.fixture
def furnished(newsletter: Web) -> Web:
    """A newsletter with a subscriber and a webhook."""
    factories.add_subscribers(newsletter.database, 1)
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO webhooks (url, event_types, secret) VALUES ('https://93.184.215.14/', '{}', 'x')")
    return newsletter


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Idempotency-Key"])
@pytest.mark.parametrize("path", MAKERS)
def test_whatever_is_made_is_made_once(furnished: Web, path: str, header: str) -> None:
    api, (table, sent) = furnished.holder(), MAKERS[path]
    before = furnished.counted(table)
    answers = [api.post(path, headers={header: "one"}, **sent) for _ in range(3)]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1, [answer.text for answer in answers]
    assert answers[0].is_success, answers[0].text
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true", "true"]
    assert furnished.counted(table) == before + 1
    if "json" in sent:
        assert api.post(path, headers={header: "one"}, json={**sent["json"], "more": 1}).status_code == 409


def test_every_operation_that_makes_something_is_tried(newsletter: Web) -> None:
    described = newsletter.client.app.openapi()["paths"]  # type: ignore[attr-defined]
    making = {path for path, verbs in described.items() if "201" in verbs.get("post", {}).get("responses", {})}
    assert making <= {*MAKERS, "/v1/emails", "/v1/images"}  # files in git: once by name or content, see test_drafts.py
    for path in making:
        assert "Idempotency-Key" in {one["name"] for one in described[path]["post"]["parameters"]}


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path, (_, sent) in MAKERS.items() if sent])
def test_fifty_at_once_make_one_row_and_one_201(furnished: Web, path: str) -> None:
    table, sent = MAKERS[path]
    key, before = api_keys.create_key(furnished.database, "many", per_minute=0), furnished.counted(table)
    headers = {"Authorization": f"Token {key}", "Idempotency-Key": "one"}
    with web.served(furnished.app()) as address, ThreadPoolExecutor(50) as pool:
        url = f"{address}{path}"
        answers = list(pool.map(lambda _: httpx.post(url, headers=headers, timeout=60, **sent), range(50)))
    kinds = Counter((answer.status_code, answer.headers.get("Idempotency-Replayed")) for answer in answers)
    assert kinds[201, None] == 1, kinds
    assert set(kinds) <= {(201, None), (201, "true"), (409, None), (503, None)}  # 503: too many uploads at once
    assert furnished.counted(table) == before + 1


def test_what_is_stored_shows_no_address_and_no_key(newsletter: Web) -> None:
    api = newsletter.holder()
    for path in ("/v1/subscribers", "/v1/users"):
        answer = api.post(path, headers={"Idempotency-Key": "one" + path}, **MAKERS[path][1])
        assert answer.status_code == 201
    assert answer.json()["key"]
    api.delete("/v1/subscribers/eve@example.org")
    assert "eve@example.org" not in newsletter.dump()
    assert answer.json()["key"] not in newsletter.dump()


def test_a_key_that_is_too_long_is_refused(newsletter: Web) -> None:
    answer = newsletter.holder().post("/v1/tags", headers={"Idempotency-Key": "x" * 256}, **MAKERS["/v1/tags"][1])
    assert (answer.status_code, newsletter.counted("tags")) == (400, 0)


def test_only_answers_older_than_a_day_are_forgotten(newsletter: Web, key_id: int) -> None:
    for name, time in (("old", "25 hours"), ("young", "0 seconds")):
        claim(newsletter, key_id, name)
        if name == "old":
            age(newsletter, time)
    with newsletter.database.transaction() as tx:
        assert stored_idempotency.drop_old(tx) == 1
        assert stored_idempotency.get(tx, key_id, "young")
        assert stored_idempotency.get(tx, key_id, "old") is None


def context(newsletter: Web) -> AppContext:
    """What the app gives its routes."""
    found: AppContext = newsletter.client.app.state.context  # type: ignore[attr-defined]
    return found
