"""The copy of the contract in ``tests/data`` is what its script makes: shapes whole, prose gone."""

from __future__ import annotations

import json
from typing import Any

from bench import api_table
from tests.data import buttondown

DESCRIPTION = {
    "openapi": "3.1.0",
    "info": {"title": "An API", "version": "1", "description": "A long text."},
    "paths": {
        "/things": {
            "get": {
                "operationId": "list_things",
                "description": "A long text.",
                "parameters": [
                    {"in": "query", "name": "kind", "required": True, "schema": {"enum": ["a", "b"], "title": "Kind"}}
                ],
            }
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "title": "Thing",
                "type": "object",
                "required": ["title"],
                "properties": {"title": {"type": "string", "maxLength": 9, "title": "Title", "examples": ["Hi"]}},
            }
        }
    },
}


def test_reducing_a_contract_drops_its_prose_and_nothing_else() -> None:
    reduced = buttondown.reduce(json.dumps(DESCRIPTION).encode())
    assert reduced["paths"]["/things"]["get"] == {
        "operationId": "list_things",
        "parameters": [{"in": "query", "name": "kind", "required": True, "schema": {"enum": ["a", "b"]}}],
    }
    assert reduced["components"]["schemas"]["Thing"] == {
        "type": "object",
        "required": ["title"],
        "properties": {"title": {"type": "string", "maxLength": 9}},
    }
    assert (reduced["info"]["title"], len(reduced["info"]["x-source-sha256"])) == ("An API", 64)
    assert json.loads(buttondown.dump(reduced)) == reduced


def test_the_copy_is_whole_and_as_its_script_writes_it() -> None:
    copy = api_table.contract()
    assert buttondown.TARGET.read_text(encoding="utf-8") == buttondown.dump(copy)
    assert buttondown.without_prose(copy["paths"]) == copy["paths"]
    assert len(list(api_table.operations(copy))) > 100
    assert set(_references(copy)) <= set(copy["components"]["schemas"])


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"].rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
        return here + [name for one in value.values() for name in _references(one)]
    return [name for one in value for name in _references(one)] if isinstance(value, list) else []
