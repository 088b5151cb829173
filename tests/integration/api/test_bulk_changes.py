"""Each bulk action of Buttondown's documentation: it works, or its refusal says why it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.flows.operations import bulk_changes
from tests.integration.api.test_contract import call
from tests.web import Web

CONTRACT = json.loads((Path(__file__).parents[2] / "data" / "buttondown.json").read_text())
DOCUMENTED = CONTRACT["components"]["schemas"]["BulkActionType"]["enum"]


@pytest.fixture
def ids(api: TestClient) -> list[str]:
    """The ids of three subscribers; the first has a tag, and metadata."""
    more: list[dict[str, Any]] = [{"tags": ["VIP"], "metadata": {"name": "Ada", "n": 1}}, {}, {}]
    made = [
        call(api, "POST", "/subscribers", json={"email_address": f"r{n}@example.org", "type": "regular", **one})
        for n, one in enumerate(more)
    ]
    return [one.json()["id"] for one in made]


def bulk(api: TestClient, kind: str, **metadata: Any) -> Any:
    return call(api, "POST", "/bulk_actions", json={"type": kind, "metadata": metadata})


def count_done(api: TestClient, kind: str, **metadata: Any) -> int:
    answer = bulk(api, kind, **metadata)
    assert (answer.status_code, answer.json().get("status")) == (201, "processed"), answer.text
    return int(answer.json()["metadata"]["done"])


def show(api: TestClient, one: str, name: str) -> Any:
    return api.get(f"/v1/subscribers/{one}").json()[name]


@pytest.mark.parametrize("kind", [*DOCUMENTED, "send_email"])
def test_each_documented_action_works_or_its_refusal_says_why(api: TestClient, ids: list[str], kind: str) -> None:
    needed = {"tag_ids": ["a"], "metadata": {}, "body": "Hello", "rename_mapping": {"a": "b"}, "color": "#0069FF"}
    targets = [api.get("/v1/tags").json()["results"][0]["id"]] if "_tags" in kind and kind != "apply_tags" else ids
    answer = bulk(api, kind, ids=targets, **needed)
    if kind in bulk_changes._CHANGES:
        assert answer.status_code == 201
    else:
        assert (answer.status_code, answer.json()["detail"].startswith(f"{kind} is not")) == (400, True)
        assert ("not supported" in answer.json()["detail"]) is (kind in DOCUMENTED)
        assert "unban_subscribers, reactivate_subscribers" in answer.json()["detail"]


def test_tags_are_given_by_id_or_name_and_kept_as_written(api: TestClient, ids: list[str]) -> None:
    tag = call(api, "POST", "/tags", json={"name": "Early Birds", "color": "#0069FF"}).json()
    assert tag["name"] == "Early Birds"
    assert count_done(api, "apply_tags", ids=ids[:1], tag_ids=[tag["id"]], action="add") == 1
    assert count_done(api, "apply_tags", ids=ids[1:2], tag_id=tag["id"]) == 1
    assert count_done(api, "apply_tags", ids=ids[1:2], tags=["Später"]) == 1
    assert show(api, ids[0], "tags") == ["Early Birds", "VIP"]
    assert show(api, ids[1], "tags") == ["Early Birds", "Später"]
    for name in ("Early Birds", "early birds", "EARLY BIRDS"):
        assert call(api, "GET", f"/subscribers?tag={name}").json()["count"] == 2
    assert call(api, "POST", "/tags", json={"name": "early birds", "color": "#0069FF"}).json()["code"] == "name_already_exists"
    assert call(api, "PATCH", f"/tags/{tag['id']}", "/tags/{}", json={"name": "Owls"}).json()["name"] == "Owls"
    assert show(api, ids[0], "tags") == ["Owls", "VIP"]
    assert count_done(api, "apply_tags", ids=ids[:2], tag_ids=["owls"], action="remove") == 2
    assert [show(api, one, "tags") for one in ids] == [["VIP"], ["Später"], []]
    wrong: dict[str, Any]
    for wrong in ({}, {"tag_ids": ["sub_tag_zzz"]}, {"tag_ids": []}, {"tag_ids": "a"}):
        assert bulk(api, "apply_tags", ids=ids, **wrong).json()["code"] == "bulk_action_invalid_ids"


def test_everybody_or_all_but_some_are_only_meant_when_it_is_said(api: TestClient, ids: list[str]) -> None:
    assert count_done(api, "apply_tags", ids=["all"], tags=["a"]) == 3
    assert count_done(api, "apply_tags", ids=[f"-{ids[0]}"], tags=["b"]) == 2
    assert count_done(api, "apply_tags", ids=["all"], parameters={"tag": ["VIP"]}, tags=["c"]) == 1
    assert [show(api, one, "tags") for one in ids] == [["a", "c", "VIP"], ["a", "b"], ["a", "b"]]
    wrong: list[dict[str, Any]] = [
        {}, {"ids": []}, {"ids": ["sub_x"]}, {"ids": [ids[0], f"-{ids[1]}"]}, {"ids": ids, "parameters": {"tag": ["vip"]}},
        {"parameters": {"tag": ["vip"]}},
    ]  # fmt: skip
    for one in wrong:
        assert bulk(api, "delete_subscribers", **one).json()["code"] == "bulk_action_invalid_ids", one
    misspelt = bulk(api, "delete_subscribers", ids=["all"], parameters={"tags": ["vip"]})
    assert (misspelt.status_code, "parameters.tags" in misspelt.json()["detail"]) == (400, True)
    assert call(api, "GET", "/subscribers").json()["count"] == 3


def test_metadata_is_set_added_removed_and_renamed(api: TestClient, ids: list[str]) -> None:
    one = ids[0]
    assert count_done(api, "apply_metadata", ids=[one], action="add", metadata={"city": "Paris"}) == 1
    assert show(api, one, "metadata") == {"name": "Ada", "n": 1, "city": "Paris"}
    assert count_done(api, "rename_metadata", ids=["all"], rename_mapping={"name": "first_name"}) == 1
    assert count_done(api, "apply_metadata", ids=[one], action="remove", metadata=["n", "none"]) == 1
    assert show(api, one, "metadata") == {"first_name": "Ada", "city": "Paris"}
    assert count_done(api, "apply_metadata", ids=[one], action="set", metadata={"a": {"b": [1]}}) == 1
    assert show(api, one, "metadata") == {"a": {"b": [1]}}
    for wrong in ({"action": "merge", "metadata": {}}, {"action": "remove", "metadata": {}}, {"action": "set"}):
        assert bulk(api, "apply_metadata", ids=[one], **wrong).json()["code"] == "bulk_action_invalid_metadata"
    assert bulk(api, "rename_metadata", ids=[one]).json()["code"] == "bulk_action_missing_rename_mapping"


def test_notes_bans_and_gifts_are_given_to_many(newsletter: Web, api: TestClient, ids: list[str]) -> None:
    assert count_done(api, "add_notes", ids=ids, body="Met in June", metadata={"by": "me"}) == 3
    assert {note["body"] for note in call(api, "GET", "/notes?model_type=subscriber").json()["results"]} == {"Met in June"}
    assert bulk(api, "add_notes", ids=ids, body=" ").json()["code"] == "bulk_action_invalid_metadata"
    assert count_done(api, "ban_subscribers", ids=ids[:2]) == 2
    assert [show(api, one, "type") for one in ids] == ["blocked", "blocked", "regular"]
    assert count_done(api, "reactivate_subscribers", ids=ids) == 0
    assert count_done(api, "unban_subscribers", ids=ids) == 2
    assert count_done(api, "gift_subscribers", ids=ids[:1]) == 1
    assert count_done(api, "gift_subscribers", ids=ids[:1]) == 0
    assert [show(api, one, "type") for one in ids] == ["gifted", "regular", "regular"]
    assert count_done(api, "ungift_subscribers", ids=ids) == 1
    with newsletter.database.transaction() as tx:
        tx.script("INSERT INTO suppressions (email_normal, reason) VALUES"
                  " ('r0@example.org', 'hard bounce'), ('r1@example.org', 'complaint')")  # fmt: skip
    assert count_done(api, "reactivate_subscribers", ids=ids, reason="They wrote to us") == 1
    assert [show(api, one, "type") for one in ids] == ["regular", "complained", "regular"]
