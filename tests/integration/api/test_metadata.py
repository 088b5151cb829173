"""Metadata with objects and lists inside, filters by it, and the archive as clients of Buttondown list it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.test_contract import call
from tests.web import Web

NESTED = {"plan": "pro", "address": {"city": "Paris", "zip": None}, "langs": ["fr", "en"], "a.b": "dotted", "age": 7}


def deep(levels: int) -> dict[str, Any]:
    """An object with so many objects inside each other."""
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"x": found}
    return found


def test_metadata_may_be_nested_and_is_returned_as_written(api: TestClient) -> None:
    made = call(api, "POST", "/subscribers", json={"email_address": "a@example.org", "type": "regular", "metadata": NESTED})
    assert made.json()["metadata"] == NESTED
    assert call(api, "GET", "/subscribers/a@example.org", "/subscribers/{}").json()["metadata"] == NESTED


@pytest.mark.parametrize(
    "wrong", [deep(7), {"a": "x" * 16_000}, {"a": [["x" * 9000], ["x" * 9000]]}], ids=["deep", "long", "long inside"]
)
def test_metadata_has_bounds(newsletter: Web, api: TestClient, wrong: Any) -> None:
    assert call(api, "POST", "/subscribers", json={"email_address": "b@example.org", "metadata": deep(6)}).status_code == 201
    refused = call(api, "POST", "/subscribers", json={"email_address": "a@example.org", "metadata": wrong})
    assert (refused.status_code, refused.json()["code"]) == (400, "metadata_invalid")
    assert newsletter.counted("subscribers") == 1


def test_an_empty_list_is_an_empty_map(api: TestClient) -> None:
    one = {"email_address": "a@example.org", "type": "regular"}
    assert call(api, "POST", "/subscribers", json={**one, "metadata": []}).json()["metadata"] == {}
    patched = call(api, "PATCH", "/subscribers/a@example.org", "/subscribers/{}", json={"metadata": []})
    assert patched.json()["metadata"] == {}
    note = {"body": "x", "model_type": "subscriber", "model_id": "1", "metadata": []}
    assert call(api, "POST", "/notes", json=note).json()["metadata"] == {}
    wrongs: list[Any] = [[1], "", 0, [[]]]
    for wrong in wrongs:
        assert call(api, "PATCH", "/subscribers/a@example.org", "/subscribers/{}", json={"metadata": wrong}).status_code == 422


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"metadata['plan']": "pro"}, "a"), ({"metadata['plan']": ["pro", "free"]}, "ab"), ({"-metadata['plan']": "pro"}, "bc"),
        ({"metadata['address.city']": "Paris"}, "a"), ({"metadata['a.b']": "dotted"}, "a"), ({"metadata['age']": "7"}, "a"),
        ({"metadata['plan']": "null"}, "c"), ({"-metadata['plan']": "null"}, "ab"),
        ({"metadata['address.zip']": "null"}, "abc"),
        ({"-metadata['address.city']": "Paris", "metadata['plan']": "free"}, "b"), ({"metadata['nothing']": "x"}, ""),
        ({"metadata['plan']": "pro", "tag": "t"}, ""),
    ],
)  # fmt: skip
def test_subscribers_are_found_by_metadata(api: TestClient, query: dict[str, Any], found: str) -> None:
    for name, metadata in (("a", NESTED), ("b", {"plan": "free"}), ("c", {})):
        body = {"email_address": f"{name}@example.org", "type": "regular", "metadata": metadata}
        api.post("/v1/subscribers", json={**body, "tags": ["t"] if name == "c" else []})
    page = api.get("/v1/subscribers", params={**query, "ordering": "email_address"}).json()
    assert "".join(one["email_address"][0] for one in page["results"]) == found
    assert page["count"] == len(found)


def test_a_misspelt_filter_of_metadata_is_refused(api: TestClient) -> None:
    long = f"metadata['{'a' * 301}']"
    for name in ("metadata[plan]", "metadata['']", "metadata", "metadata['a']x", "metadatas['a']", "-metadata['a']['b']", long):
        assert api.get("/v1/subscribers", params={name: "x"}).status_code == 400, name
    assert api.get("/v1/tags", params={"metadata['a']": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("-tag=none", 400), ("not_tag=none", 400), ("email_address=", 422), ("referrer_url=", 422), ("-domain=", 422),
        ("utm_source=", 422), ("-tag=", 422),
    ],
)  # fmt: skip
def test_a_filter_that_would_choose_everybody_by_mistake_is_refused(api: TestClient, query: str, status: int) -> None:
    api.post("/v1/subscribers", json={"email_address": "a@example.org", "type": "regular"})
    assert api.get(f"/v1/subscribers?{query}").status_code == status
    name, _, value = query.partition("=")
    given: Any
    for given in (value, []):
        action = {"type": "apply_tags", "metadata": {"ids": ["all"], "parameters": {name: given}, "tags": ["x"]}}
        assert api.post("/v1/bulk_actions", json=action).status_code == 400
    assert api.get("/v1/subscribers/a@example.org").json()["tags"] == []


@pytest.mark.parametrize("day", ["20260101", "0", "1767225600", "1e9", "tomorrow", "01-02-2026", ""])
@pytest.mark.parametrize(
    ("path", "name"),
    [("subscribers", "date__start"), ("emails", "publish_date__start"), ("api_requests", "creation_date__gt")],
)
def test_a_day_that_would_be_read_as_seconds_since_1970_is_refused(api: TestClient, path: str, name: str, day: str) -> None:
    answer = api.get(f"/v1/{path}", params={name: day})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name])
    exported = api.post("/v1/exports", json={"collections": ["subscribers"], "parameters": {"date__start": day}})
    assert exported.status_code in (400, 422)


def test_the_archive_is_listed_as_sent(newsletter: Web, api: TestClient) -> None:
    newsletter.send(1)
    listed = call(api, "GET", "/emails?status=sent&ordering=-creation_date").json()
    assert [(one["slug"], one["status"], one["source"]) for one in listed["results"]] == [
        ("2026-11-24-hello", "sent", "app"),
        ("2020-01-01-old", "sent", "import"),
    ]
    assert all(one["absolute_url"].endswith(f"/issues/{one['slug']}/") for one in listed["results"])
    assert [one["slug"] for one in call(api, "GET", "/emails?status=imported").json()["results"]] == ["2020-01-01-old"]
    assert [one["slug"] for one in call(api, "GET", "/emails?-status=imported").json()["results"]] == ["2026-11-24-hello"]
    assert call(api, "GET", "/emails?-status=sent").json()["count"] == 0
