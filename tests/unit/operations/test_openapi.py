"""The published OpenAPI: each operation is named, described and shown by an example, as in Buttondown's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from bench import api_table

OURS = {f"{method} {path}": facts for method, path, facts in api_table.operations(api_table.ours(), "/v1")}
CONTRACT = {f"{method} {path}": facts for method, path, facts in api_table.operations(api_table.contract())}
_VERBS = (
    "Check", "Create", "Delete", "Get", "Invoke", "Lift", "List", "Plan", "Poll", "Publish", "Replay", "Retrieve", "Send",
    "Start", "Update", "Upload",
)  # fmt: skip


def _contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a body is, and its media type's description."""
    for where, body in (("request", operation.get("requestBody", {})), *operation["responses"].items()):
        for content in body.get("content", {}).values():
            yield where, content


@pytest.mark.parametrize("name", OURS)
def test_an_operation_has_a_summary_a_description_and_examples(name: str) -> None:
    operation = OURS[name]
    assert operation["summary"].split()[0] in _VERBS
    assert operation["description"].endswith(".")
    assert operation["description"] != operation["summary"]
    without = [where for where, content in _contents(operation) if "example" not in content]
    assert not without


@pytest.mark.parametrize("name", OURS)
def test_no_summary_is_made_from_a_path_or_a_function(name: str) -> None:
    operation = OURS[name]
    assert not re.search(r"[/{}_]", operation["summary"])
    assert operation["summary"] != operation["operationId"].replace("_", " ").title()
    words = operation["summary"].split()[1:]
    assert not [word for word in words if word[0].isupper() and word not in ("API", "HTML", "Stripe")]


def test_operation_ids_are_unique_and_the_contracts_own() -> None:
    ids = [operation["operationId"] for operation in OURS.values()]
    assert len(set(ids)) == len(ids)
    theirs = {name: facts["operationId"] for name, facts in CONTRACT.items()}
    assert {name: OURS[name]["operationId"] for name in theirs} == theirs


@pytest.mark.parametrize("name", OURS)
def test_each_example_has_its_schema(name: str) -> None:
    described = api_table.ours()
    registry: Registry[Any] = Registry().with_resource(
        "urn:ours", Resource.from_contents(described, default_specification=DRAFT202012)
    )
    for where, content in _contents(OURS[name]):
        reference = content["schema"].get("anyOf", [content["schema"]])[0].get("$ref", "")
        schema = {"$ref": f"urn:ours{reference}"} if reference else content["schema"]
        problems = [error.message for error in Draft202012Validator(schema, registry=registry).iter_errors(content["example"])]
        assert not problems, where
