"""Lists of subscribers by tag: whichever plan Postgres chooses, the same subscribers come in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from mailer.flows.subscribers import subscriber_query
from tests import web
from tests.web import Web


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    found = web.make(tmp_path, database)
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (email, email_normal, state, tags, confirmed_at)
            SELECT
                'subscriber-' || n || '@example.org', 'subscriber-' || n || '@example.org', 'active',
                array_remove(ARRAY[
                    CASE WHEN mod(n, 2) = 1 THEN 'odd' END,
                    CASE WHEN mod(n, 3) = 0 THEN 'third' END,
                    CASE WHEN n <= 120 THEN 'first' END
                ], NULL),
                now()
            FROM generate_series(1, 500) AS n
            """
        )
    return found


def pages(api: TestClient, query: str) -> list[dict[str, Any]]:
    """All pages, as `next` leads on."""
    found, path = [], f"/v1/subscribers?{query}"
    while path:
        page = api.get(path).json()
        found.append(page)
        path = page["next"]
    return found


def addresses(found: list[dict[str, Any]]) -> list[str]:
    return [one["email_address"] for page in found for one in page["results"]]


@pytest.mark.parametrize(
    "ordering", ["creation_date", "-creation_date", "email_address", "-email_address", "-unsubscription_date", "metadata:n"]
)
@pytest.mark.parametrize(
    "query", ["tag=odd", "tag=first", "tag=odd&tag=third", "tag=Third&-tag=odd", "tag=third&domain=example.org"]
)
def test_both_query_plans_for_tags_list_the_same_subscribers(
    newsletter: Web, query: str, ordering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = newsletter.holder()
    gathered = pages(api, f"{query}&ordering={ordering}")
    monkeypatch.setattr(subscriber_query, "_MAX_GATHERED", 0)
    assert pages(api, f"{query}&ordering={ordering}") == gathered
    found = addresses(gathered)
    assert len(found) == len(set(found)) == gathered[0]["count"] > 0
    by_number = [api.get(f"/v1/subscribers?{query}&ordering={ordering}&page={n}").json() for n in range(1, len(gathered) + 1)]
    assert addresses(by_number) == found


def test_a_tag_that_nobody_knows_is_refused_and_the_next_question_is_answered(newsletter: Web) -> None:
    api = newsletter.holder()
    answer = api.get("/v1/subscribers?tag=odd&tag=unheard-of")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_tag")
    assert "unheard-of" in answer.json()["detail"]
    assert api.get("/v1/subscribers?tag=odd").json()["count"] == 250


def test_a_query_that_cannot_be_read_names_the_parameter(newsletter: Web) -> None:
    api = newsletter.holder()
    for query, name in (("page=0", "page"), ("page=x", "page"), ("date__start=soon", "date__start")):
        answer = api.get(f"/v1/subscribers?{query}")
        assert answer.status_code == 422
        assert [one["loc"] for one in answer.json()["detail"]] == [["query", name]]


@pytest.mark.parametrize("ordering", ["creation_date", "-creation_date"])
def test_a_page_by_number_is_the_page_that_next_leads_to(newsletter: Web, ordering: str) -> None:
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (email, email_normal, state)
            SELECT 'more-' || n || '@example.org', 'more-' || n || '@example.org', 'active' FROM generate_series(1, 3000) AS n
            """
        )
        tx.run("UPDATE subscribers SET erased_at = now(), email_normal = 'erased:' || id WHERE id BETWEEN 900 AND 2300")
    api = newsletter.holder()
    followed = pages(api, f"ordering={ordering}")
    numbers = range(1, len(followed) + 1)
    by_number = [api.get(f"/v1/subscribers?ordering={ordering}&page={number}").json() for number in numbers]
    assert addresses(by_number) == addresses(followed)
    assert len(addresses(followed)) == followed[0]["count"] > 2000
    assert api.get(f"/v1/subscribers?ordering={ordering}&page={len(followed) + 1}").json()["results"] == []
