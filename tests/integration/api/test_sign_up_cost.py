"""What adding a subscriber costs: a number of statements; and many requests for one address make one subscriber."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Tx
from mailer.fakes.free_ports import find_free_port
from mailer.flows.operations import api_keys
from tests import web
from tests.web import Web


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The SQL of threads while the block runs, without what is prepared, and without the key's query on the event loop."""
    found: list[str] = []
    cursor = Tx._cursor

    def watched(tx: Tx, sql: str, values: Mapping[str, Any]) -> Any:
        if not sql.startswith("PREPARE"):
            found.append(sql)
        return cursor(tx, sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(Tx, "_cursor", watched)
        yield found


@pytest.mark.parametrize(("kind", "most"), [("regular", 5), ("unactivated", 8)])
def test_adding_a_subscriber_takes_few_statements(
    newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch, kind: str, most: int
) -> None:
    """Each costs a round trip: with twice as many, a server adds a third fewer subscribers a second."""
    with statements(monkeypatch) as found:
        answer = api.post("/v1/subscribers", json={"email_address": "new@example.org", "type": kind, "tags": ["a"]})
    assert answer.status_code == 201, answer.text
    added = [sql for sql in found if "api_requests" not in sql and "tallies" not in sql]
    assert len(added) <= most, "\n".join(added)


@pytest.mark.parametrize("kind", ["regular", "unactivated"])
def test_many_requests_for_one_address_add_it_once(newsletter: Web, kind: str) -> None:
    head = {"Authorization": f"Token {api_keys.create_key(newsletter.database, 'many', per_minute=0)}"}
    body = {"email_address": "new@example.org", "type": kind}
    with web.served(newsletter.app(), find_free_port()) as url, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: httpx.post(f"{url}/v1/subscribers", json=body, headers=head), range(20)))
    assert sorted(one.status_code for one in answers) == [201] + [400] * 19
    assert {one.json()["code"] for one in answers if one.status_code == 400} == {"email_already_exists"}
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM subscribers") == 1
        assert tx.value("SELECT count(*) FROM consents") == 1
