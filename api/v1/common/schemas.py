"""The shapes of responses, taken from Buttondown's description: ``shapes.json`` holds its schemas (MIT), without their prose.

``python -m bench.api_table`` writes the file from the contract.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "shapes.json"
Responses = dict[int | str, dict[str, Any]]

# Status: what it means, and an example of the code and the sentence.
_ERRORS = {
    400: ("The request cannot be used.", "invalid_input", "ip_address is not an IP address."),
    401: (
        "The API key is missing or invalid.",
        "authentication_missing",
        "An API key is required: send `Authorization: Token KEY`.",
    ),
    403: ("The API key's scope does not allow this.", "forbidden", "A key with the scope read cannot do this."),
    404: ("There is nothing with this id.", "not_found", "There is no such subscriber."),
    409: ("The request conflicts with the current state.", "conflict", "This address was asked a moment ago."),
    413: ("The request body is too large.", "request_entity_too_large", "The request is too large: the limit is 64 KB."),
    412: ("The resource changed meanwhile.", "precondition_failed", "This was changed meanwhile: retrieve it again."),
    415: (
        "The body's media type is not accepted.",
        "unsupported_media_type",
        "The header Content-Type is missing: send `Content-Type: application/json`.",
    ),
    429: ("The rate limit is exceeded.", "rate_limited", "The rate limit of this key is exceeded: try again in 3 s."),
    503: ("The database does not respond.", "service_unavailable", "The database does not respond: try again in a minute."),
}  # fmt: skip


def response(shape: str, status: int = 200, example: Any = None) -> Responses:
    """Describe a successful response with this schema of the contract; ``example`` replaces the one of ``examples.json``."""
    return {status: _describe(shape, "Success", example)}


def error_responses(*statuses: int) -> Responses:
    """Describe the errors that an operation can answer with: all have the schema ErrorMessage."""
    return {status: error_response(status) for status in statuses}


def error_response(status: int, code: str = "", detail: str = "") -> dict[str, Any]:
    """Describe one error, with an example of its code and its sentence."""
    meaning, usual_code, usual_detail = _ERRORS[status]
    return _describe("ErrorMessage", meaning, {"code": code or usual_code, "detail": detail or usual_detail})


@cache
def load_schemas() -> dict[str, Any]:
    """The contract's schemas by name."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def _describe(shape: str, description: str, example: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{shape}"}}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


_INVALID_FIELD = {"type": "missing", "loc": ["body", "email_address"], "msg": "email_address cannot be used: field required."}
COMMON_RESPONSES: Responses = {
    **error_responses(400, 401, 403, 413, 415, 429, 503),
    422: _describe(
        "ValidationErrorMessage",
        "A field is invalid; each entry names one.",
        {"code": "invalid_input", "detail": [_INVALID_FIELD]},
    ),
}
