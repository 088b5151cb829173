"""The shapes of answers, taken from the contract: ``shapes.json`` holds its schemas (MIT), without their prose.

``python -m bench.api_table`` writes the file anew from the contract.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_FILE = Path(__file__).parent / "shapes.json"
Responses = dict[int | str, dict[str, Any]]


def response(shape: str, status: int = 200) -> Responses:
    """The documentation of an answer of this shape."""
    return {status: _json(shape, "Done")}


def error_responses(*statuses: int) -> Responses:
    """The documentation of errors: all have the shape ErrorMessage."""
    return {status: _json("ErrorMessage", "Refused, with the reason") for status in statuses}


@cache
def load_schemas() -> dict[str, Any]:
    """The contract's schemas by name."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def install_openapi(app: FastAPI) -> None:
    """Let the app's own description say the contract's shapes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = get_openapi(title=app.title, version=app.version, routes=app.routes)
            own = described.setdefault("components", {}).setdefault("schemas", {})
            own.update({name: shape for name, shape in load_schemas().items() if name not in own})
            for name in ("HTTPValidationError", "ValidationError"):
                own.pop(name, None)
            app.openapi_schema = described
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _json(shape: str, description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    return {"description": description, "content": content}


COMMON_RESPONSES: Responses = {
    **error_responses(400, 401, 403, 413, 429, 503),
    422: _json("ValidationErrorMessage", "A field cannot be used; each entry names one"),
}
