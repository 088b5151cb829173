"""Pages as the contract has them: results, count, and the addresses of the next and the previous page."""

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
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="The page's number, from 1.")]
PageSize = Annotated[int, Query(ge=1, le=1000, description="How many a page holds.")]


class OrjsonResponse(JSONResponse):
    """JSON written by orjson; by the standard library where a number is too large for it."""

    def render(self, content: Any) -> bytes:
        """The bytes."""
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
    """An answer with one page. ``after`` is the key of its last row: the next page starts behind it."""
    more = number * size < count
    shown: dict[str, Any] = {
        "results": list(results),
        "next": _link(context, request, number + 1, after) if more else None,
        "previous": _link(context, request, number - 1, None) if number > 1 else None,
        "count": count,
    }
    return OrjsonResponse(shown)


def slice_page(rows: Sequence[Any], number: int, size: int = PAGE_SIZE) -> Sequence[Any]:
    """Page ``number`` of rows that are all there."""
    return rows[size * (number - 1) : size * number]


def refuse_unknown_parameters(request: Request) -> None:
    """Raise ApiError 400 for a parameter that is not known: it would silently be no filter."""
    if not request.query_params:
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known and request.scope["route"].name not in ("list_subscribers", "list_emails"):
            raise ApiError(400, "invalid_input", f"The parameter {name[:50]!r} is not known here: leave it out.")


def _link(context: AppContext, request: Request, number: int, after: str | None) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("page", "after")]
    asked = [*kept, ("page", str(number)), *([("after", after)] if after else [])]
    return f"{context.settings.api_url}{request.url.path}?{urlencode(asked)}"
