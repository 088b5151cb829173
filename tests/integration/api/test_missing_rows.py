"""What is not there is 404 on every route, and lists end exactly where their rows do."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient

from tests import factories
from tests.web import Web

# Made in the repository, so that no program deletes them: refused whether or not they are there.
REVIEWED = {"newsletters", "emails", "forms", "attachments", "automations", "snippets", "images"}


def test_every_route_about_one_thing_answers_404_when_there_is_none(newsletter: Web, api: TestClient) -> None:
    before, asked = newsletter.dump(("api_", "idempotency")), 0
    for path, verbs in newsletter.client.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        for verb in verbs.keys() & {"get", "delete"} if "{" in path else ():
            answer = api.request(verb, re.sub(r"\{[^}]+\}", "999999", path))
            reviewed = verb == "delete" and path.split("/")[2] in REVIEWED
            assert answer.status_code == (403 if reviewed else 404), (verb, path)
            asked += 1
    assert asked > 40
    assert newsletter.dump(("api_", "idempotency")) == before


def test_a_subscriber_is_erased_once_and_then_not_there(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 2)
    assert [api.delete("/v1/subscribers/subscriber-1@example.org").status_code for _ in range(2)] == [204, 404]
    assert api.delete("/v1/subscribers/subscriber-1@example.org").json()["code"] == "not_found"
    assert newsletter.state("subscriber-2@example.org") == "active"


def pages(api: TestClient, first: str, link: str = "next") -> list[dict[str, Any]]:
    """A list from its first page on, as a client follows it."""
    found: list[dict[str, Any]] = []
    address = first
    while address:
        assert len(found) < 10
        answer = api.get(address)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        address = found[-1][link] or ""
    return found


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 200, 201])
def test_a_list_has_no_empty_page_and_omits_nobody(newsletter: Web, api: TestClient, number: int) -> None:
    factories.add_subscribers(newsletter.database, number, ("python",))
    for query in ("", "?ordering=email_address", "?tag=python&type=regular" if number else "?type=regular"):
        found = pages(api, f"/v1/subscribers{query}")
        emails = [one["email_address"] for page in found for one in page["results"]]
        assert len(emails) == len(set(emails)) == number
        last = [number % 100] if number % 100 or not number else []
        assert [len(page["results"]) for page in found] == [100] * (number // 100) + last
        assert {page["count"] for page in found} == {number}
        assert [page["previous"] is None for page in found] == [True] + [False] * (len(found) - 1)


def test_the_next_pages_address_says_each_parameter_once_and_keeps_the_filters(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 301, ("python", "mail"))
    for page in pages(api, "/v1/subscribers?tag=python&tag=mail&type=regular")[:-1]:
        asked = parse_qsl(urlsplit(page["next"]).query)
        names = [name for name, _ in asked]
        assert (names.count("page"), names.count("after")) == (1, 1)
        assert [value for name, value in asked if name == "tag"] == ["python", "mail"]
        assert ("type", "regular") in asked


def test_the_way_back_leads_over_the_same_rows(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 201)
    there = pages(api, "/v1/subscribers")
    back = pages(api, "/v1/subscribers?page=3", "previous")
    assert [page["results"] for page in back] == [page["results"] for page in reversed(there)]


ADD = "FROM generate_series(1, %(number)s) AS n"
OTHER_LISTS = {
    "/v1/tags": f"INSERT INTO tags (name) SELECT 'tag-' || n {ADD}",
    "/v1/segments": f"INSERT INTO segments (name, filters) SELECT 's-' || n, %(filters)s::jsonb {ADD}",
    "/v1/webhooks": f"INSERT INTO webhooks (url, event_types, secret) SELECT 'https://a.example/' || n, '{{}}', 'x' {ADD}",
    "/v1/users": f"INSERT INTO api_keys (name, hash) SELECT 'key-' || n, sha256(n::text::bytea) {ADD}",
    "/v1/webhooks/1/attempts": f"INSERT INTO webhook_messages (webhook_id, type, body) SELECT 1, 'email.sent', '{{}}' {ADD}",
}  # fmt: skip


@pytest.mark.parametrize("number", [99, 100, 101])
@pytest.mark.parametrize("path", OTHER_LISTS)
def test_every_other_list_ends_where_its_rows_do(newsletter: Web, api: TestClient, path: str, number: int) -> None:
    filters = '{"filters": [], "groups": [], "predicate": "and"}'
    there = 1 if path == "/v1/users" else 0  # the key that asks
    with newsletter.database.transaction() as tx:
        tx.run("INSERT INTO webhooks (url, event_types, secret) VALUES ('https://a.example/', '{}', 'x')")
        tx.run("DELETE FROM webhooks WHERE %(path)s = '/v1/webhooks'", path=path)
        tx.run(OTHER_LISTS[path], number=number - there, **({"filters": filters} if path == "/v1/segments" else {}))
    found = pages(api, path)
    assert [len(page["results"]) for page in found] == ([number] if number <= 100 else [100, number - 100])
    ids = [one["id"] for page in found for one in page["results"]]
    assert len(set(ids)) == number
    assert {page["count"] for page in found} == {number}


@pytest.mark.parametrize(("size", "lengths"), [(1, [1, 1, 1, 1]), (2, [2, 2]), (3, [3, 1]), (4, [4]), (5, [4])])
def test_a_page_is_as_long_as_it_was_asked_to_be(newsletter: Web, api: TestClient, size: int, lengths: list[int]) -> None:
    with newsletter.database.transaction() as tx:
        tx.run(OTHER_LISTS["/v1/tags"], number=4)
    assert [len(page["results"]) for page in pages(api, f"/v1/tags?page_size={size}")] == lengths
