"""Lists of the small tables of ``api_records``, newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext
from api.v1.common import paging
from mailer.core.db import Row
from mailer.flows.operations import api_records


def list_records(
    request: Request,
    page: paging.Page,
    table: str,
    show: Callable[[Row], dict[str, Any]],
    where: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """A page of the table's rows with these values; ``show`` makes a row's result."""
    context: AppContext = request.app.state.context
    paging.check_key(page, int)
    rows, count = api_records.list_page(context.database, table, page.range, **(where or {}))
    shown = paging.cut(page, rows, lambda row: row["id"])
    return paging.page_response(context, request, page, [show(row) for row in shown.rows], count, shown.after)
