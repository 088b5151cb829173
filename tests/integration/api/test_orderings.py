"""Each order that Buttondown's documentation names: it is taken, and `next` shows everybody once in it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.store.subscribers.subscriber_records import ORDERINGS
from tests.integration.api.test_contract import call
from tests.web import Web

PEOPLE = 7


@pytest.fixture(autouse=True)
def _people(newsletter: Web) -> None:
    with newsletter.database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (email, email_normal, state, metadata, unsubscribed_at)
            SELECT
                n || '@example.org', n || '@example.org', CASE WHEN n < 4 THEN 'unsubscribed' ELSE 'active' END,
                CASE WHEN mod(n, 2) = 1 THEN jsonb_build_object('city', jsonb_build_object('name', 'c' || n)) ELSE '{}' END,
                CASE WHEN n < 4 THEN now() - n * interval '1 day' END
            FROM generate_series(1, %(people)s) AS n
            """,
            people=PEOPLE,
        )
        tx.script(
            """
            INSERT INTO suppressions (email_normal, reason, created_at)
            VALUES ('5@example.org', 'hard bounce', now() - interval '2 day'), ('6@example.org', 'soft bounces', now())
            """
        )


def follow(api: TestClient, ordering: str, size: int = 2) -> str:
    """The first letters of all addresses, as `next` leads to them."""
    found, path = "", f"/v1/subscribers?ordering={ordering}&page_size={size}"
    while path:
        page: dict[str, Any] = api.get(path).json()
        found += "".join(one["email_address"][0] for one in page["results"])
        path = page["next"]
    return found


@pytest.mark.parametrize("ordering", [*ORDERINGS, "metadata:city.name", "metadata:nothing"])
def test_next_shows_everybody_once_in_each_order_and_backwards(api: TestClient, ordering: str) -> None:
    up, down = follow(api, ordering), follow(api, f"-{ordering}")
    assert "".join(sorted(up)) == "1234567"
    assert down == up[::-1]
    assert follow(api, f"{ordering}_desc") == down if not ordering.startswith("metadata") else True
    numbered = [api.get(f"/v1/subscribers?ordering={ordering}&page_size=2&page={n}").json()["results"] for n in (1, 2, 3, 4)]
    assert "".join(one["email_address"][0] for page in numbered for one in page) == up


@pytest.mark.parametrize(
    ("ordering", "wanted"),
    [
        ("-unsubscription_date", "1237654"),
        ("undeliverability_date", "1234756"),
        ("undeliverability_date_desc", "6574321"),
        ("metadata:city.name", "2461357"),
        ("-open_rate", "7654321"),
    ],
)
def test_subscribers_come_in_the_order_that_is_named(api: TestClient, ordering: str, wanted: str) -> None:
    assert follow(api, ordering) == wanted


def test_an_order_that_does_not_exist_is_refused_with_those_that_do(api: TestClient) -> None:
    for wrong in ("name", "metadata:", "id; DROP TABLE subscribers", "--creation_date", "-"):
        answer = call(api, "GET", f"/subscribers?ordering={wrong}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_ordering"), wrong
        assert "unsubscription_date" in answer.json()["detail"]


def test_a_cursor_of_another_order_is_refused(api: TestClient) -> None:
    cursors = [
        api.get(f"/v1/subscribers?page_size=1&ordering={one}").json()["next"].rpartition("after=")[2]
        for one in ("creation_date", "email_address", "unsubscription_date")
    ]
    for ordering, own in zip(("creation_date", "email_address", "unsubscription_date"), cursors, strict=True):
        for cursor in cursors:
            answer = api.get(f"/v1/subscribers?ordering={ordering}&after={cursor}")
            assert answer.status_code == (200 if cursor == own else 404)


def test_emails_are_ordered_by_their_metadata(newsletter: Web, api: TestClient) -> None:
    newsletter.send(2)
    paths = [one["metadata"]["path"] for one in call(api, "GET", "/emails?ordering=-metadata:path").json()["results"]]
    assert len(paths) > 1
    assert paths == sorted(paths, reverse=True)
    assert api.get("/v1/emails?ordering=metadata:").json()["code"] == "invalid_ordering"


def test_lists_that_are_always_empty_or_short_take_their_documented_orders(api: TestClient) -> None:
    for path in ("/forms?ordering=-title", "/comments?ordering=subscriber", "/surveys?ordering=-response_count",
                 "/events?ordering=creation_date"):  # fmt: skip
        assert call(api, "GET", path).status_code == 200
