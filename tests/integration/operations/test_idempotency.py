"""``Idempotency-Key`` over time: a response is kept for a day, unfinished work for a minute, a failure not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext
from api.v1.common.errors import ApiError
from api.v1.common.idempotency import IdempotentRequest
from mailer.core.db import Database
from mailer.flows.operations import api_keys, idempotency
from mailer.store.operations import idempotency as stored_idempotency
from tests import web
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
        idempotency.save_response(newsletter.database, key_id, "one", 201, "{}")
    age(newsletter, time)
    assert claim(newsletter, key_id) is is_free
    assert claim(newsletter, key_id) is False  # whoever took it has it


def test_a_name_belongs_to_its_key_and_its_request(newsletter: Web, key_id: int) -> None:
    api_keys.create_key(newsletter.database, "other")
    assert idempotency.begin_request(newsletter.database, 1, "one", b"d") is None
    with pytest.raises(idempotency.IdempotencyConflict, match="still in progress"):
        idempotency.begin_request(newsletter.database, 1, "one", b"d")
    with pytest.raises(idempotency.IdempotencyConflict, match="another request"):
        idempotency.begin_request(newsletter.database, 1, "one", b"other")
    assert idempotency.begin_request(newsletter.database, 1, "two", b"d") is None
    assert idempotency.begin_request(newsletter.database, 2, "one", b"d") is None
    idempotency.save_response(newsletter.database, 1, "one", 201, '{"a": 1}')
    found = idempotency.begin_request(newsletter.database, 1, "one", b"d")
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


@pytest.mark.parametrize(
    ("status", "is_kept"),
    [(400, True), (404, True), (409, True), (422, True), (429, True), (499, True), (500, False), (503, False)],
)
def test_what_was_our_fault_is_tried_again_and_what_was_theirs_is_not(
    newsletter: Web, key_id: int, status: int, is_kept: bool
) -> None:
    done: list[int] = []

    def work() -> JSONResponse:
        done.append(1)
        raise ApiError(status, "code", "Said so.")

    wrapper = IdempotentRequest(context(newsletter), key_id, "one", b"d")
    with pytest.raises(ApiError):
        wrapper.run(work)
    if is_kept:
        assert wrapper.run(work).status_code == status
    else:
        with pytest.raises(ApiError):
            wrapper.run(work)
    assert len(done) == (1 if is_kept else 2)


def test_work_that_breaks_is_tried_again(newsletter: Web, key_id: int) -> None:
    def broken() -> JSONResponse:
        raise ZeroDivisionError

    wrapper = IdempotentRequest(context(newsletter), key_id, "one", b"d")
    with pytest.raises(ZeroDivisionError):
        wrapper.run(broken)
    assert wrapper.run(lambda: JSONResponse({"a": 1}, 201)).status_code == 201
    again: Any = wrapper.run(broken)
    assert (again.status_code, again.body, again.headers["Idempotency-Replayed"]) == (201, b'{"a":1}', "true")


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
