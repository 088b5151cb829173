"""The published OpenAPI description.

A route's docstring is its summary (first line) and its description (the rest). Its function's name is the operation id: the
contract's where it has the same method and path. ``examples.json`` has an example for each schema, by the schema's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.v1.common import entity_tags, idempotency, schemas
from api.v1.common.authentication import SECURITY_SCHEME, is_open

_EXAMPLES = Path(__file__).parent / "examples.json"
EMPTY_PAGE: dict[str, Any] = {"results": [], "next": None, "previous": None, "count": 0}
_FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")  # our errors have the contract's schemas


def name_operation(route: APIRoute) -> str:
    """The operation id of a route that sets none."""
    return route.name


def install_openapi(app: FastAPI) -> None:
    """Replace the app's own description by one with the contract's schemas, summaries and examples."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe_app(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_app(app: FastAPI) -> dict[str, Any]:
    described = get_openapi(title=app.title, version=app.version, routes=app.routes)
    shapes = described.setdefault("components", {}).setdefault("schemas", {})
    described["components"]["securitySchemes"] = SECURITY_SCHEME
    shapes.update({name: shape for name, shape in schemas.load_schemas().items() if name not in shapes})
    for name in _FRAMEWORKS_OWN:
        shapes.pop(name, None)
    for method, path, operation in _operations(described):
        _split_docstring(operation)
        _describe_negations(operation)
        needs_key = path.startswith("/v1/") and not is_open(method, path)
        operation["security"] = [{name: []} for name in SECURITY_SCHEME if needs_key]
        if is_open(method, path):
            operation["responses"].pop("403", None)
        if idempotency.applies_to(method, path):
            operation["parameters"] = [*operation.get("parameters", ()), *idempotency.PARAMETERS]
            operation["responses"].setdefault("409", schemas.error_response(409))
        if any(one["name"] in ("after", "cursor") for one in operation.get("parameters", ())):
            operation["responses"].setdefault("404", schemas.error_response(404))
        if method == "PATCH":
            operation["parameters"] = [*operation.get("parameters", ()), *entity_tags.PARAMETERS]
            operation["responses"]["412"] = schemas.error_response(412)
        for content in _contents(operation):
            _add_example(content, shapes)
    return described


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        yield from ((method.upper(), path, operation) for method, operation in methods.items())


def _split_docstring(operation: dict[str, Any]) -> None:
    first, _, rest = operation.pop("description", "").partition("\n")
    operation["summary"] = first.strip().removesuffix(".")
    if rest.strip():
        operation["description"] = rest.strip()


def _describe_negations(operation: dict[str, Any]) -> None:
    """Describe a negated filter by its name in words only: generators make one identifier of `type` and `-type`."""
    parameters = operation.get("parameters", [])
    negated = {name for one in parameters if (name := one["name"]).startswith("-")}
    for one in parameters:
        if (name := one["name"].replace("not_", "-", 1)) in negated:
            one["description"] = f"Leaves out what matches. Buttondown's name, `{name}`, works too."
    if negated:
        operation["parameters"] = [one for one in parameters if one["name"] not in negated]


def _contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The media types of the request's and of all responses' bodies."""
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from body.get("content", {}).values()


def _add_example(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    schema = content["schema"]
    schema = schema.get("anyOf", (schema,))[0]  # an optional body is it or null
    name = schema.get("$ref", schema.get("title", "")).rpartition("/")[2]
    if "example" not in content and (example := find_example(name, schemas)) is not None:
        content["example"] = example


def find_example(name: str, schemas: dict[str, Any]) -> Any:
    """The example of a schema. A page without its own has one result: the example of its items."""
    examples = _load_examples()
    results = schemas.get(name, {}).get("properties", {}).get("results")
    if name in examples or not results:
        return examples.get(name)
    item = examples.get(results.get("items", {}).get("$ref", "").rpartition("/")[2])
    rest = {"cursor": None} if "cursor" in schemas[name]["properties"] else {**EMPTY_PAGE, "count": 1}
    return None if item is None else {**rest, "results": [item]}


@cache
def _load_examples() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    return found
