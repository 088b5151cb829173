"""Pages in the contract's shape: results, count, and the URLs of the next and the previous page.

`next` has a cursor, the key of the page's last row, so that following it shows every row once, whatever is added, removed or
changed meanwhile. A client's own `page=N` is an offset.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.common.dependencies import AppContext
from api.v1.common.errors import ApiError
from mailer.core import public_ids
from mailer.core.db import PageRange

T = TypeVar("T")
PAGE_SIZE = 100  # rows
MAX_PAGE_SIZE = 1000  # rows
_MAX_OFFSET = 10**9  # rows
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="Page number, starting at 1.")]
PageSize = Annotated[int, Query(ge=1, description="Results per page. A larger number than the list allows is reduced.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="The cursor that `next` contains.")]
METADATA_FILTER = re.compile(r"(-?)metadata\['((?:(?!'\])[^\x00]){1,300})'\]")  # metadata['plan'], metadata['address.city']
_SIZES = ("limit", "count", "per_page")  # other clients' words for page_size
# Words that change how a list is shown, not who is on it: a list that does not know one ignores it.
IGNORED_WORDS = frozenset(
    {*_SIZES, "page", "page_size", "offset", "cursor", "after", "ordering", "order", "sort", "expand", "excluded_fields",
     "fields", "format", "_"}
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """The page that a client asks for: after the key ``after``, or without a key after ``offset`` rows."""

    number: int
    size: int
    offset: int
    after: Any

    @property
    def range(self) -> PageRange:
        """The rows to fetch: one more than are shown, which says whether another page follows."""
        return PageRange(self.size + 1, 0 if self.after is not None else self.offset, self.after)


@dataclass(frozen=True)
class PageRows(Generic[T]):
    """The rows that a page shows. ``after`` is the cursor of the next page, None on the last."""

    rows: Sequence[T]
    after: str | None


class OrjsonResponse(JSONResponse):
    """JSON encoded by orjson, or by the standard library when a number is too large for orjson."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        try:
            return orjson.dumps(content)
        except TypeError:
            return super().render(content)


def build_page(request: Request, number: int, size: int, after: str | None, most: int) -> Page:
    """The page of a request, with at most ``most`` rows."""
    given = request.query_params
    if "page_size" not in given:
        size = next((found for name in _SIZES if (found := _parse_number(given.get(name)))), size)
    size = min(size, most)
    offset = _parse_number(given.get("offset")) or size * (number - 1)
    return Page(number, size, min(offset, _MAX_OFFSET), None if after is None else _decode_cursor(after))


async def _read_page(request: Request, page: PageNumber = 1, page_size: PageSize = PAGE_SIZE, after: Cursor = None) -> Page:
    return build_page(request, page, page_size, after, MAX_PAGE_SIZE)


PageQuery = Annotated[Page, Depends(_read_page)]


def cut(page: Page, rows: Sequence[T], key: Callable[[T], Any]) -> PageRows[T]:
    """Drop the row that was fetched beyond the page; ``key`` is what the rows are sorted by."""
    shown = rows[: page.size]
    return PageRows(shown, _encode_cursor(key(shown[-1])) if len(rows) > page.size else None)


def cut_sorted(page: Page, rows: Sequence[T], key: Callable[[T], Any], descending: bool = False) -> PageRows[T]:
    """Cut a page from a complete list, sorted by a unique key of text, numbers or lists of them."""
    if page.after is None:
        return cut(page, rows[page.offset : page.offset + page.size + 1], key)
    try:
        rest = [row for row in rows if (key(row) < page.after if descending else key(row) > page.after)]
    except TypeError as error:
        raise make_cursor_error() from error
    return cut(page, rest, key)


def check_key(page: Page, kind: type[int | str | list[Any]]) -> None:
    """Raise ApiError 404 when the page has a cursor that is not of this kind; a list is a text and an id."""
    if page.after is None:
        return
    parts = page.after if isinstance(page.after, list) else [page.after]
    kinds = [str, int] if kind is list else [kind]
    if isinstance(page.after, list) is not (kind is list) or [type(one) for one in parts] != kinds:
        raise make_cursor_error()
    if any(isinstance(one, int) and not 0 <= one <= public_ids.MAX_ID for one in parts):
        raise make_cursor_error()


def page_response(
    context: AppContext, request: Request, page: Page, results: Sequence[Any], count: int, after: str | None = None
) -> JSONResponse:
    """A response with one page. ``after`` is the cursor of the next page, None on the last."""
    links = {
        "next": _link(context, request, page.number + 1, after) if after is not None else None,
        "previous": _link(context, request, page.number - 1, None) if page.number > 1 else None,
    }
    headers = ", ".join(f'<{url}>; rel="{"prev" if name == "previous" else name}"' for name, url in links.items() if url)
    return OrjsonResponse({"results": list(results), **links, "count": count}, headers={"Link": headers} if headers else None)


def refuse_unknown_parameters(request: Request) -> None:
    """Raise ApiError 400 for an unknown filter, which would silently filter nothing."""
    if not request.query_params:
        return
    known = IGNORED_WORDS | _list_parameters(request.scope["route"])
    takes_metadata = "unsubscription_reason" in known  # only the list of subscribers does
    unknown = (name for name in request.query_params if name not in known)
    if name := next((name for name in unknown if not (takes_metadata and METADATA_FILTER.fullmatch(name))), None):
        raise ApiError(400, "invalid_input", f"There is no filter {name[:50]!r} here: correct its name, or leave it out.")


def _list_parameters(route: APIRoute) -> set[str]:
    """The names of a route's query parameters."""
    return {one["name"] for one in (route.openapi_extra or {}).get("parameters", ())} | set(_query_names(route.dependant))


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (one.alias or name for name, one in kind.model_fields.items())
        else:
            yield field.alias
    for one in dependant.dependencies:
        yield from _query_names(one)


def _parse_number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _encode_cursor(key: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _decode_cursor(text: str) -> Any:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise make_cursor_error() from error
    if found is None:
        raise make_cursor_error()
    return found


def make_cursor_error() -> ApiError:
    """The error for a cursor that leads to no page."""
    return ApiError(404, "not_found", "There is no page behind this cursor: leave it out, or follow `next` unchanged.")


def _link(context: AppContext, request: Request, number: int, after: str | None) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("page", "after", "offset")]
    asked = [*kept, ("page", str(number)), *([("after", after)] if after else [])]
    return f"{context.settings.api_url}{request.url.path}?{urlencode(asked)}"
