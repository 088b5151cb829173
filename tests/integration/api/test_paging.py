"""Lists in pages: other clients' paging words are accepted, and following ``next`` shows every row once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bench import api_table
from tests import factories
from tests.web import Web

LISTS = [
    path
    for method, path, facts in api_table.operations(api_table.ours(), "/v1")
    if method == "GET" and "page" in {one["name"] for one in facts.get("parameters", ())} and "{" not in path
]


def follow(api: TestClient, path: str, between: Callable[[list[Any]], None] = lambda results: None) -> Iterator[Any]:
    """All results of all pages; ``between`` is called with each page's before the next page is requested."""
    link: str | None = path
    while link:
        page = api.get(link).json()
        yield from page["results"]
        between(page["results"])
        link = page["next"]


def test_every_list_accepts_the_paging_words_of_other_clients(api: TestClient) -> None:
    assert len(LISTS) > 20
    for path in LISTS:
        for query in ("page_size=100", "limit=100", "count=5", "per_page=50", "offset=0", "page_size=100000", "_=1"):
            assert api.get(f"/v1{path}?page=1&{query}").status_code == 200, f"{path} {query}"


def test_every_list_refuses_an_unknown_filter_with_one_status_and_one_sentence(api: TestClient) -> None:
    answers = [api.get(f"/v1{path}?emial=ada") for path in LISTS]
    [said] = {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers}
    assert said[:2] == (400, "invalid_input")
    assert "no filter 'emial' here" in said[2]


@pytest.mark.parametrize("word", ["page_size", "limit", "count", "per_page"])
def test_a_page_is_as_long_as_any_word_for_it_asks(newsletter: Web, api: TestClient, word: str) -> None:
    factories.add_subscribers(newsletter.database, 5)
    for path in ("/v1/subscribers", "/v1/subscribers?type=regular"):
        page = api.get(path, params={word: 2}).json()
        assert (len(page["results"]), page["count"]) == (2, 5)
        assert len(list(follow(api, f"{path}{'&' if '?' in path else '?'}{word}=2"))) == 5


def test_an_offset_skips_so_many_rows(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 5)
    found = api.get("/v1/subscribers?limit=2&offset=3").json()["results"]
    assert [one["email_address"] for one in found] == ["subscriber-2@example.org", "subscriber-1@example.org"]


def test_clearing_a_tag_page_by_page_clears_all_of_it(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 25, ("old",))

    def clear(results: list[Any]) -> None:
        for one in results:
            api.patch(f"/v1/subscribers/{one['id']}", json={"tags": []})

    assert len(list(follow(api, "/v1/subscribers?tag=old&page_size=10", clear))) == 25
    assert api.get("/v1/subscribers?tag=old").json()["count"] == 0


@pytest.mark.parametrize("ordering", ["creation_date", "-creation_date", "email_address", "-email_address"])
def test_subscribers_who_are_added_or_removed_meanwhile_hide_and_repeat_nobody(
    newsletter: Web, api: TestClient, ordering: str
) -> None:
    factories.add_subscribers(newsletter.database, 25)
    before = {f"subscriber-{n}@example.org" for n in range(1, 26)}

    def change(results: list[Any]) -> None:
        api.post("/v1/subscribers", json={"email_address": f"new-{results[0]['secondary_id']}@example.org", "type": "regular"})
        api.delete(f"/v1/subscribers/{results[0]['id']}")
        api.delete(f"/v1/subscribers/{results[-1]['id']}")

    shown = [one["email_address"] for one in follow(api, f"/v1/subscribers?page_size=10&ordering={ordering}", change)]
    assert len(shown) == len(set(shown))
    assert before <= set(shown)


@pytest.mark.parametrize(("path", "table"), [("/v1/tags", "tags"), ("/v1/segments", "segments"), ("/v1/users", "api_keys")])
def test_rows_that_are_removed_meanwhile_hide_no_other(newsletter: Web, api: TestClient, path: str, table: str) -> None:
    rows = {
        "tags": "INSERT INTO tags (name) SELECT 'tag-' || n",
        "segments": "INSERT INTO segments (name, filters) SELECT 's-' || n, '{}'",
        "api_keys": "INSERT INTO api_keys (name, hash) SELECT 'key-' || n, sha256(n::text::bytea)",
    }
    with newsletter.database.transaction() as tx:
        tx.run(f"{rows[table]} FROM generate_series(1, 25) AS n")
        before = int(tx.value(f"SELECT count(*) FROM {table}"))

    def remove(results: list[Any]) -> None:
        with newsletter.database.transaction() as tx:
            tx.run(f"DELETE FROM {table} WHERE id > 1 AND id IN (SELECT id FROM {table} ORDER BY id LIMIT 3)")

    shown = [one["id"] for one in follow(api, f"{path}?page_size=10", remove)]
    assert len(shown) == len(set(shown))
    assert len(shown) >= (before if path in ("/v1/tags", "/v1/users") else before - 6)


def test_events_that_happen_meanwhile_repeat_none(newsletter: Web, api: TestClient) -> None:
    add = "INSERT INTO events (type) SELECT 'subscriber.delivered' FROM generate_series(1, %(number)s)"

    def happen(results: list[Any]) -> None:
        with newsletter.database.transaction() as tx:
            tx.run(add, number=3)

    happen([])
    with newsletter.database.transaction() as tx:
        tx.run(add, number=22)
    shown = [one["id"] for one in follow(api, "/v1/events?page_size=10", happen)]
    assert (len(shown), len(set(shown))) == (25, 25)


def test_the_link_header_repeats_the_links_to_the_pages_around(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 5)
    answer = api.get("/v1/subscribers?page_size=2&page=2")
    page = answer.json()
    assert answer.headers["link"] == f'<{page["next"]}>; rel="next", <{page["previous"]}>; rel="prev"'


@pytest.mark.parametrize("after", ["x", "bnVsbA", "WzFd", "LTE", "MTAwMDAwMDAwMDAwMDAwMDAwMDA", "_"])
def test_a_cursor_that_is_none_leads_to_no_page(newsletter: Web, api: TestClient, after: str) -> None:
    others = ("/v1/emails", "/v1/users", "/v1/sends") if after in ("x", "bnVsbA", "_") else ()
    for path in ("/v1/subscribers", "/v1/tags", "/v1/events", "/v1/notes", *others):
        assert api.get(path, params={"after": after}).status_code == 404, path
    assert api.get("/v1/api_requests", params={"cursor": after}).status_code == 404
