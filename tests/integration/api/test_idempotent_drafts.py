"""Drafts and images under an idempotency key, many at once over a socket: one row, one branch, one commit, one 201."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailer.core.db import Database
from mailer.flows.operations import api_keys
from tests import web
from tests.integration.api.test_drafts import PNG, branches, git, repository

__all__ = ["repository"]
AT_ONCE = 50
HELLO = {"subject": "Hello", "body": "Text."}


@pytest.fixture
def client(database: Database, tmp_path: Path, repository: Path) -> Iterator[httpx.Client]:
    newsletter = web.make(tmp_path, database, repository=str(repository))
    head = {"Authorization": f"Token {api_keys.create_key(database, 'many', per_minute=0)}"}
    with web.served(newsletter.app()) as url, httpx.Client(base_url=url, headers=head, timeout=60) as made:
        yield made


def post(client: httpx.Client, what: str, head: dict[str, str]) -> httpx.Response:
    more: dict[str, Any] = {"json": HELLO} if what == "emails" else {"files": {"image": ("chart.png", PNG, "image/png")}}
    return client.post(f"/v1/{what}", headers=head, **more)


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Idempotency-Key"])
@pytest.mark.parametrize(("what", "table"), [("emails", "drafts"), ("images", "draft_images")])
def test_many_at_once_under_one_key_make_one(
    client: httpx.Client, database: Database, repository: Path, what: str, table: str, header: str
) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda _: post(client, what, {header: "one"}), range(AT_ONCE)))
    first = [one for one in answers if one.status_code == 201 and "Idempotency-Replayed" not in one.headers]
    assert len(first) == 1
    rest = [one for one in answers if one is not first[0]]
    assert {one.status_code for one in rest} <= {201, 409}  # 409: the first one was not ready
    assert all(one.headers["Retry-After"] for one in rest if one.status_code == 409)
    again = post(client, what, {header: "one"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json() == first[0].json()
    with database.transaction() as tx:
        assert tx.value(f"SELECT count(*) FROM {table}") == 1
    if what == "emails":
        (branch,) = branches(repository)
        assert git(repository, "rev-list", "--count", f"main..{branch}") == "1"


def test_an_empty_key_is_none_and_another_body_is_refused(client: httpx.Client, repository: Path) -> None:
    for _ in range(2):
        assert post(client, "emails", {"Idempotency-Key": ""}).status_code == 201
    assert len(branches(repository)) == 2
    assert post(client, "emails", {"X-Idempotency-Key": "a"}).status_code == 201
    other = client.post("/v1/emails", json={**HELLO, "body": "Other."}, headers={"Idempotency-Key": "a"})
    assert other.status_code == 409
    assert other.json()["code"] == "conflict"
    assert len(branches(repository)) == 3
