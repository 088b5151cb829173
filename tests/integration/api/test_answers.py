"""What every answer says beside its shape: limits, entity tags, methods, and errors that lead on."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.v1.common import authentication
from mailer.flows.operations import api_keys, api_records
from tests import factories
from tests.web import Web

ADA = {"email_address": "ada@example.org", "type": "regular"}
FILTERS = {"filters": [{"field": "subscriber.tags", "operator": "contains", "value": "vip"}], "groups": [], "predicate": "and"}


def test_ping_and_public_emails_need_no_key_but_no_wrong_one(newsletter: Web) -> None:
    newsletter.send(1)
    for path in ("/v1/ping", "/v1/public/emails/the-letter"):
        assert newsletter.client.get(path).status_code == 200
        wrong = newsletter.client.get(path, headers={"Authorization": "Token pm_wrong"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "authentication_invalid")
    assert newsletter.client.get("/v1/pings").status_code == 401


def test_strangers_learn_of_no_issue_that_is_not_out_yet(newsletter: Web, api: TestClient) -> None:
    newsletter.send(1)
    path = "/v1/public/emails/the-letter"
    assert newsletter.client.get(path).json()["count"] == 2
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE sends SET state = 'scheduled'")
    assert [one["slug"] for one in newsletter.client.get(path).json()["results"]] == ["2020-01-01-old"]
    assert api.get("/v1/emails").json()["count"] == 2


def test_every_answer_states_the_rate_limit(newsletter: Web, api: TestClient) -> None:
    key = {"Authorization": f"Token {api_keys.create_key(newsletter.database, 'slow', per_minute=6)}"}
    left = []
    for method, path in (("GET", "/v1/ping"), ("GET", "/v1/nothing"), ("POST", "/v1/tags"), ("PUT", "/v1/tags")):
        answer = api.request(method, path, headers=key)
        assert answer.headers["X-RateLimit-Limit"] == "6"
        left.append(int(answer.headers["X-RateLimit-Remaining"]))
    assert left == [5, 4, 3, 2]
    assert "X-RateLimit-Limit" not in api.get("/v1/ping").headers  # a key without a limit


def test_answers_without_a_valid_key_state_the_limit_of_their_network(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_STRANGERS_REQUESTS", 6)
    client, left = newsletter.client, []
    wrong = {"Authorization": "Token pm_wrong"}
    for method, path, status, headers in (
        ("GET", "/v1/ping", 200, {}), ("GET", "/v1/tags", 401, {}), ("PUT", "/v1/tags", 401, wrong),
        ("POST", "/v1/tags", 401, wrong), ("GET", "/v1/nothing", 401, {}), ("GET", "/v1/public/emails/nobody", 404, {}),
    ):  # fmt: skip
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == status
        left.append(int(answer.headers["X-RateLimit-Remaining"]))
    assert left == [5, 4, 3, 2, 1, 0]


def test_strangers_exhaust_their_own_limit_and_no_keys(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_STRANGERS_REQUESTS", 2)
    api = newsletter.holder(per_minute=5)
    statuses = [api.get("/v1/tags", headers={"Authorization": f"Token pm_{n}"}).status_code for n in range(3)]
    assert statuses == [401, 401, 429]
    assert api.get("/v1/tags").status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/tags", "GET, HEAD, POST"), ("/v1/tags/1", "DELETE, GET, HEAD, PATCH"), ("/v1/subscribers/1/unsuppress", "POST"),
        ("/v1/ping", "GET, HEAD"), ("/v1/emails/1/history", "GET, HEAD"), ("/v1/advertising_units/slots", "GET, HEAD"),
    ],
)  # fmt: skip
def test_a_known_path_answers_another_method_with_405_and_all_that_it_accepts(api: TestClient, path: str, allowed: str) -> None:
    others = {"PUT", "OPTIONS"} if "slots" in path else {"PUT", "OPTIONS", "TRACE", "POST", "DELETE", "PATCH"}
    for method in others - set(allowed.split(", ")):
        answer = api.request(method, f"{path}?field=x", content="text")
        assert (answer.status_code, answer.headers["Allow"], answer.json()["code"]) == (405, allowed, "method_not_allowed")
    assert api.request("PUT", "/v1/nothing").status_code == 404


def test_a_body_of_another_media_type_is_refused_with_the_one_to_send(api: TestClient) -> None:
    for given, words in (
        (None, "is missing"),
        ("text/plain", "is 'text/plain'"),
        ("application/x-www-form-urlencoded", "is '"),
    ):
        headers = {"Content-Type": given} if given else {}
        answer = api.post("/v1/tags", content=b'{"name": "a", "color": "#ffffff"}', headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert words in answer.json()["detail"]
        assert "send `Content-Type: application/json`" in answer.json()["detail"]
    for given in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"):
        name = f"t{len(given)}"
        assert api.post(
            "/v1/tags", content=b'{"name": "%s", "color": "#ffffff"}' % name.encode(), headers={"Content-Type": given}
        ).is_success
    assert "multipart/form-data" in api.post("/v1/imports", json={"file": "x"}).json()["detail"]


def test_broken_json_is_told_with_its_place(api: TestClient) -> None:
    answer = api.post("/v1/tags", content=b'{\n "name": "a",\n "color" "#fff"}', headers={"Content-Type": "application/json"})
    [entry] = answer.json()["detail"]
    assert answer.status_code == 422
    assert entry["msg"].startswith("The JSON is broken at line 3, column 10: expecting ':' delimiter")
    for body, words in (
        (b'{\n "name": "\xe9"}', "at line 2, byte 11: this is not UTF-8"), (b'{"name": ' + b"[" * 60_000, "inside each other"),
        (b'{"name": ' + b"1" * 5000 + b"}", "too many digits"),
    ):  # fmt: skip
        answer = api.post("/v1/tags", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert words in answer.json()["detail"][0]["msg"]


def test_a_renamed_field_is_told_its_new_name(api: TestClient) -> None:
    answer = api.post("/v1/subscribers", json={"email": "ada@example.org"})
    assert (answer.status_code, answer.json()["code"]) == (400, "field_renamed")
    assert "send email_address instead" in answer.json()["detail"]
    api.post("/v1/subscribers", json=ADA)
    answer = api.patch("/v1/subscribers/ada@example.org", json={"email": "eve@example.org"})
    assert (answer.status_code, answer.json()["code"]) == (400, "field_renamed")


def test_an_error_links_to_the_operations_documentation(newsletter: Web, api: TestClient) -> None:
    base = f"{newsletter.settings.api_url}/docs"
    for path, place in (("/v1/tags/9", "#/Tags/retrieve_tag"), ("/v1/nothing", ""), ("/v1/notes/9", "")):
        assert api.get(path).json()["metadata"]["documentation_url"] == base + place
    assert newsletter.client.get("/docs").status_code == 200


def test_errors_that_come_before_the_route_link_to_it_too(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 1)
    key = {"Idempotency-Key": "once"}
    api.post("/v1/tags", json={"name": "a", "color": "#ffffff"}, headers=key)
    for answer, place in (
        (api.patch("/v1/subscribers/1", json={}, headers={"If-Match": '"x"'}), "#/Subscribers/update_subscriber"),
        (api.post("/v1/tags", json={"name": "b", "color": "#ffffff"}, headers=key), "#/Tags/create_tag"),
        (api.post("/v1/tags", content=b"x" * 70_000), "#/Tags/create_tag"),
        (newsletter.client.post("/v1/tags"), "#/Tags/create_tag"),
    ):
        assert answer.status_code >= 400
        assert answer.json()["metadata"]["documentation_url"] == f"{newsletter.settings.api_url}/docs{place}"


def resources(newsletter: Web, api: TestClient) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """A resource of each kind that can be changed: its path, and two changes."""
    api.post("/v1/subscribers", json=ADA)
    tag = api.post("/v1/tags", json={"name": "vip", "color": "#ffffff"}).json()["id"]
    segment = api.post("/v1/segments", json={"name": "s", "filters": FILTERS}).json()["id"]
    hook = {"url": "https://93.184.215.14/", "event_types": []}
    webhook = api.post("/v1/webhooks", json=hook).json()["id"]
    return {
        "/v1/subscribers/ada@example.org": ({"notes": "a"}, {"notes": "b"}),
        f"/v1/tags/{tag}": ({"color": "#000000"}, {"color": "#111111"}),
        f"/v1/segments/{segment}": ({"name": "t"}, {"name": "u"}),
        f"/v1/webhooks/{webhook}": ({**hook, "description": "a"}, {**hook, "description": "b"}),
    }


def test_what_was_changed_meanwhile_is_not_overwritten(newsletter: Web, api: TestClient) -> None:
    for path, (one, other) in resources(newsletter, api).items():
        read = api.get(path).headers["ETag"]
        changed = api.patch(path, json=one, headers={"If-Match": read})
        assert changed.status_code == 200, changed.text
        assert changed.headers["ETag"] == api.get(path).headers["ETag"] != read, path
        refused = api.patch(path, json=other, headers={"If-Match": read})
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        assert api.get(path).json() == changed.json()
        for tags in (f'"x", {changed.headers["ETag"]}', "*", "", " "):
            assert api.patch(path, json=other, headers={"If-Match": tags}).status_code == 200
    assert api.patch("/v1/tags/9999", json={}, headers={"If-Match": '"x"'}).status_code == 404


def test_two_changes_at_once_of_what_both_read_are_not_both_made(newsletter: Web, api: TestClient) -> None:
    factories.add_subscribers(newsletter.database, 1)
    path = "/v1/subscribers/1"
    read = api.get(path).headers["ETag"]
    with api_records.hold_resource(newsletter.database, path):
        assert api.patch(path, json={"notes": "b"}, headers={"If-Match": read}).status_code == 412
    assert api.patch(path, json={"notes": "b"}, headers={"If-Match": read}).status_code == 200


def test_what_a_client_has_is_not_sent_again(newsletter: Web, api: TestClient) -> None:
    newsletter.send(1)
    for path in ("/v1/emails", "/v1/tags", "/v1/subscribers?page_size=1"):
        tag = api.get(path).headers["ETag"]
        again = api.get(path, headers={"If-None-Match": f'"x", W/{tag}'})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert "ETag" not in api.get("/v1/tags/9999").headers
