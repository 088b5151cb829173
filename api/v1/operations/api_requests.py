"""``/v1/api_requests``: the log of API requests, without bodies and addresses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from api.v1.common.request_validation import Day, Moment
from mailer.core import public_ids
from mailer.flows.operations import api_records

router = APIRouter(prefix="/api_requests", tags=["API requests"])

VERSION = "2026-04-01"  # the contract's version
Words = Annotated[list[str], Query(max_length=100)]


@router.get("", responses=schemas.response("APIRequestList"))
def list_api_requests(
    context: Context,
    api_key_id: Words = [],  # noqa: B006
    method: Words = [],  # noqa: B006
    path: Words = [],  # noqa: B006
    source: Words = [],  # noqa: B006
    status_code: Words = [],  # noqa: B006
    version: Words = [],  # noqa: B006
    creation_date__gt: Moment | None = None,
    creation_date__lt: Moment | None = None,
    date__start: Day | None = None,
    date__end: Day | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=50)] = None,
) -> JSONResponse:
    """List API requests.

    Requests of the last 90 days, newest first. Pass the `cursor` of a response to get the next page.
    """
    where: dict[str, Any] = {
        "key_id": [number for one in api_key_id if (number := public_ids.number("acc", one)) is not None],
        "method": [one.upper() for one in method],
        "path": path,
        "source": source,
        "status": [int(one) for one in status_code if one.isdecimal() and len(one) < 9],
    }
    given = {"key_id": api_key_id, "method": method, "path": path, "source": source, "status": status_code}
    where = {name: value for name, value in where.items() if given[name]}
    where["since"] = _to_utc(creation_date__gt) or date__start
    where["until"] = _to_utc(creation_date__lt) or (_next_day(date__end) if date__end else None)
    if version and VERSION not in version:
        where["status"] = []
    if cursor and public_ids.number("api_req", cursor) is None:
        raise paging.make_cursor_error()
    rows = api_records.list_requests(context.database, where, limit, cursor)
    after = public_ids.public("api_req", rows[-1]["id"]) if len(rows) == limit else None
    return JSONResponse({"results": [_as_api_request(row) for row in rows], "cursor": after})


@router.get("/{id}", responses=schemas.response("APIRequestDetail") | schemas.error_responses(404))
def retrieve_api_request(context: Context, id: str) -> JSONResponse:
    """Retrieve an API request.

    Bodies and headers are not stored, so those fields are empty.
    """
    row = api_records.get_request(context.database, id)
    if row is None:
        raise_not_found("request")
    return JSONResponse({**_as_api_request(row), "request_data": "", "response_data": None, "headers": {}})


def _to_utc(moment: datetime | None) -> datetime | None:
    """Convert to UTC: Postgres does not accept every offset that Python does."""
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


def _next_day(day: date) -> date:
    try:
        return day + timedelta(days=1)
    except OverflowError:
        return day


def _as_api_request(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("api_req", row["id"]),
        "creation_date": row["at"].isoformat(),
        "status_code": row["status"],
        "path": row["path"],
        "method": row["method"],
        "source": row["source"],
        "version": VERSION,
        "ip_address": row["address"] or "",
        "api_key_id": public_ids.public("acc", row["key_id"]) if row["key_id"] else None,
        "api_key_label": row["key_name"],
    }
