"""``/v1/exports``: what is kept, as a file behind a signed link. It is written when it is fetched: no copy lies anywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.common.dependencies import Desk, Here
from api.v1 import export_rows, paging, schemas
from api.v1.errors import ApiError, not_found
from api.v1.subscriber_filters import Filters, conditions
from mailer.core import public_ids, tokens
from mailer.core.errors import BadInput
from mailer.flows.operations import api_records

router = APIRouter(prefix="/exports", tags=["Exports"])
files = APIRouter(include_in_schema=False)

HOLDS = timedelta(hours=1)  # a link to the file
Collection = Literal[
    "subscribers", "emails", "events", "referrals", "surveys", "comments", "requests", "mentions", "conversations", "images",
    "stripe_subscriptions", "stripe_products", "stripe_customers", "stripe_prices", "stripe_charges",
]  # fmt: skip


class ExportInput(BaseModel):
    """What to export. `parameters` are filters of `GET /v1/subscribers`, for the collection of subscribers."""

    model_config = ConfigDict(extra="forbid")

    collections: Annotated[list[Collection], Field(max_length=15)]
    parameters: dict[str, Any] | None = None
    format: Literal["csv", "json"] = "csv"
    columns: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)] | None = None


@router.get("", responses=schemas.answer("ExportPage"))
def list_exports(desk: Here, request: Request, page: paging.PageNumber = 1) -> JSONResponse:
    """Exports, the newest first."""
    rows, count = api_records.page(desk.database, "exports", page, paging.PAGE)
    return paging.page(desk, request, [_export(desk, row) for row in rows], count, page)


@router.post("", status_code=201, responses=schemas.answer("Export", 201))
def create_export(desk: Here, wish: ExportInput) -> JSONResponse:
    """A new export. `url` fetches it for an hour without a key; ask for the export again to get a new one."""
    _check(desk, wish)
    return JSONResponse(_export(desk, api_records.create(desk.database, "exports", wish.model_dump())), 201)


@router.get("/{id}", responses=schemas.answer("Export") | schemas.errors(404))
def get_export(desk: Here, id: str) -> JSONResponse:
    """One export, with a fresh link."""
    row = api_records.get(desk.database, "exports", "export", id)
    return JSONResponse(_export(desk, row)) if row else not_found("export")


@files.get("/exports/{token}")
def fetch_export(desk: Here, token: str) -> Response:
    """The file, written now."""
    number = tokens.read_export(desk.settings.need_secret(), token, datetime.now(UTC), HOLDS)
    row = api_records.get(desk.database, "exports", "export", str(number)) if number is not None else None
    if row is None:
        not_found("export, or its link is older than an hour: ask the API for a new one")
    asked = Filters.model_validate(row["parameters"] or {})
    where = conditions(desk.database, asked)
    several = len(row["collections"]) > 1
    name = f"{'export' if several else row['collections'][0]}.{'zip' if several else row['format']}"
    kinds = {"csv": "text/csv; charset=utf-8", "json": "application/json", "zip": "application/zip"}
    return StreamingResponse(
        export_rows.written(desk, row["collections"], row["format"], row["columns"], where),
        media_type=kinds[name.rpartition(".")[2]],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _check(desk: Desk, wish: ExportInput) -> None:
    if not wish.collections:
        raise ApiError(400, "collection_empty_invalid", "An export needs a collection: name one, such as subscribers.")
    if len(set(wish.collections)) < len(wish.collections):
        raise BadInput("collections names one twice: leave it out.", "collections")
    if wish.columns is not None:
        if not wish.columns:
            raise ApiError(400, "columns_empty_invalid", "columns is empty: leave it out to get all.")
        known = {name for one in wish.collections for name in export_rows.COLUMNS.get(one, export_rows.EMPTY)}
        if unknown := set(wish.columns) - known:
            sentence = f"There is no column {min(unknown)!r}: use {', '.join(sorted(known))}."
            raise ApiError(400, "columns_invalid", sentence)
    if wish.parameters:
        _check_parameters(desk, wish.parameters)


def _check_parameters(desk: Desk, parameters: dict[str, Any]) -> None:
    try:
        conditions(desk.database, Filters.model_validate(parameters))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadInput(
            f"parameters.{place[:60]} cannot be used: parameters are filters of GET /v1/subscribers, such as"
            ' {"type": ["regular"]}.',
            f"parameters.{place}",
        ) from error


def _export(desk: Desk, row: dict[str, Any]) -> dict[str, Any]:
    token = tokens.export_token(desk.settings.need_secret(), row["id"], datetime.now(UTC))
    return {
        "id": public_ids.public("export", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "collections": row["collections"],
        "parameters": row["parameters"],
        "format": row["format"],
        "columns": row["columns"],
        "url": f"{desk.settings.api_url}/exports/{token}",
        "completion_date": row["created_at"].isoformat(),
        "status": "ready",
    }
