"""Reduces Buttondown's OpenAPI description (MIT, https://docs.buttondown.com) to the shapes that our API is held to.

Paths, parameters, schemas, required fields, types, enumerations and operation ids stay; prose and examples go. Refresh it with
`python -m tests.data.buttondown openapi.json`, then run `python -m bench.api_table`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("buttondown.json")
_PROSE = {"description", "title", "example", "examples", "x-enum-descriptions"}
_NAMED = {"properties", "schemas"}  # their keys are names, not keywords


def without_prose(value: Any, named: bool = False) -> Any:
    """The same schema without descriptions, titles and examples; a property with such a name stays."""
    if isinstance(value, dict):
        return {key: without_prose(one, key in _NAMED) for key, one in value.items() if named or key not in _PROSE}
    return [without_prose(one) for one in value] if isinstance(value, list) else value


def reduce(source: bytes) -> dict[str, Any]:
    """The shapes of a description, and where they come from."""
    whole = json.loads(source)
    info = {**without_prose(whole["info"]), "title": whole["info"]["title"]}
    return {
        "openapi": whole["openapi"],
        "info": {**info, "x-source-sha256": hashlib.sha256(source).hexdigest()},
        "paths": without_prose(whole["paths"]),
        "components": {"schemas": without_prose(whole["components"]["schemas"], named=True)},
    }


def dump(reduced: dict[str, Any]) -> str:
    """JSON with one path and one schema a line, so that a refresh can be read as a diff."""
    head = json.dumps({key: reduced[key] for key in ("openapi", "info")}, ensure_ascii=False)[1:-1]
    paths, schemas = _lines(reduced["paths"]), _lines(reduced["components"]["schemas"])
    return f'{{{head},\n"paths": {{\n{paths}\n}},\n"components": {{"schemas": {{\n{schemas}\n}}}}}}\n'


def _lines(entries: dict[str, Any]) -> str:
    return ",\n".join(
        f"{json.dumps(name)}: {json.dumps(one, ensure_ascii=False, separators=(',', ':'))}" for name, one in entries.items()
    )


if __name__ == "__main__":
    TARGET.write_text(dump(reduce(Path(sys.argv[1]).read_bytes())), encoding="utf-8")
