"""Pages in the contract's shape: results, count, and the URLs of the next and the previous page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import Query, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext
from api.v1.common.errors import ApiError

PAGE_SIZE = 100  # rows
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="Page number, starting at 1.")]
PageSize = Annotated[int, Query(ge=1, le=1000, description="Results per page.")]


class OrjsonResponse(JSONResponse):
    """JSON encoded by orjson, or by the standard library when a number is too large for orjson."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        try:
            return orjson.dumps(content)
        except TypeError:
            return super().render(content)


def page_response(
    context: AppContext,
    request: Request,
    results: Sequence[Any],
    count: int,
    number: int,
    size: int = PAGE_SIZE,
    after: str | None = None,
) -> JSONResponse:
    """A response with one page. ``after`` is the key of its last row: the next page starts after it."""
    more = number * size < count
    shown: dict[str, Any] = {
        "results": list(results),
        "next": _link(context, request, number + 1, after) if more else None,
        "previous": _link(context, request, number - 1, None) if number > 1 else None,
        "count": count,
    }
    return OrjsonResponse(shown)


def slice_page(rows: Sequence[Any], number: int, size: int = PAGE_SIZE) -> Sequence[Any]:
    """Page ``number`` of a complete list of rows."""
    return rows[size * (number - 1) : size * number]


def refuse_unknown_parameters(request: Request) -> None:
    """Raise ApiError 400 for an unknown query parameter, which would silently filter nothing."""
    if not request.query_params:
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known and request.scope["route"].name not in ("list_subscribers", "list_emails"):
            raise ApiError(400, "invalid_input", f"The parameter {name[:50]!r} is unknown: leave it out.")


def _link(context: AppContext, request: Request, number: int, after: str | None) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("page", "after")]
    asked = [*kept, ("page", str(number)), *([("after", after)] if after else [])]
    return f"{context.settings.api_url}{request.url.path}?{urlencode(asked)}"
