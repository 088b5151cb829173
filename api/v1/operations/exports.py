"""``/v1/exports``: data exports behind a signed link. The file is generated on download and never stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.authentication import is_allowed
from api.v1.common.errors import ApiError, raise_not_found
from api.v1.common.record_lists import list_records
from api.v1.operations import export_rows
from api.v1.subscribers.subscriber_filters import build_conditions, parse_filters
from mailer.core import public_ids, tokens
from mailer.core.errors import BadInput
from mailer.flows.operations import api_keys, api_records

router = APIRouter(prefix="/exports", tags=["Exports"])
download_router = APIRouter(include_in_schema=False)

LINK_LIFETIME = timedelta(hours=1)  # of a link to the file
Collection = Literal[
    "subscribers", "emails", "events", "referrals", "surveys", "comments", "requests", "mentions", "conversations", "images",
    "stripe_subscriptions", "stripe_products", "stripe_customers", "stripe_prices", "stripe_charges",
]  # fmt: skip


class ExportInput(BaseModel):
    """What to export. `parameters` are filters of `GET /v1/subscribers` for the collection `subscribers`."""

    model_config = ConfigDict(extra="forbid")

    collections: Annotated[list[Collection], Field(max_length=15, json_schema_extra={"uniqueItems": True})]
    parameters: dict[str, Any] | None = None
    format: Literal["csv", "json"] = "csv"
    columns: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)] | None = None


@router.get("", responses=schemas.response("ExportPage"))
def list_exports(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
    """List exports.

    Newest first.
    """
    return list_records(request, page, "exports", lambda row: _as_export(context, request, row))


@router.post("", status_code=201, responses=schemas.response("Export", 201))
def create_export(context: Context, request: Request, payload: ExportInput) -> JSONResponse:
    """Create an export.

    `url` downloads it without a key for one hour, or until the key is revoked or expires; retrieve the export again to get
    a new link.
    """
    _check_export(context, payload)
    row = api_records.create_record(context.database, "exports", payload.model_dump())
    return JSONResponse(_as_export(context, request, row), 201)


@router.get("/{id}", responses=schemas.response("Export") | schemas.error_responses(404))
def retrieve_export(context: Context, request: Request, id: str) -> JSONResponse:
    """Retrieve an export.

    With a new link to the file, valid for one hour.
    """
    row = api_records.get_record(context.database, "exports", "export", id)
    return JSONResponse(_as_export(context, request, row)) if row else raise_not_found("export")


@download_router.get("/exports/{token}")
def download_export(context: Context, token: str) -> Response:
    """Generate the file and return it."""
    row = _find_by_token(context, token)
    if row is None:
        raise_not_found("export, or its link has ended: retrieve the export again to get a new one")
    where = build_conditions(context.database, parse_filters(row["parameters"] or {}))
    several = len(row["collections"]) > 1
    name = f"{'export' if several else row['collections'][0]}.{'zip' if several else row['format']}"
    kinds = {"csv": "text/csv; charset=utf-8", "json": "application/json", "zip": "application/zip"}
    return StreamingResponse(
        export_rows.write_export(context, row["collections"], row["format"], row["columns"], where),
        media_type=kinds[name.rpartition(".")[2]],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _find_by_token(context: AppContext, token: str) -> dict[str, Any] | None:
    """The export of a link, or None when the link is forged or old, or the key that it was given to may not read exports."""
    claim = tokens.read_export(context.settings.need_secrets(), token, datetime.now(UTC), LINK_LIFETIME)
    key = api_keys.get_key(context.database, claim[1]) if claim else None
    if claim is None or key is None or not key.is_valid or not is_allowed(key.scope, "GET", "exports"):
        return None
    return api_records.get_record(context.database, "exports", "export", str(claim[0]))


def _check_export(context: AppContext, payload: ExportInput) -> None:
    if not payload.collections:
        raise ApiError(400, "collection_empty_invalid", "An export needs at least one collection, such as subscribers.")
    if len(set(payload.collections)) < len(payload.collections):
        raise BadInput("collections contains a duplicate: remove it.", "collections")
    if payload.columns is not None:
        if not payload.columns:
            raise ApiError(400, "columns_empty_invalid", "columns is empty: leave it out to export all columns.")
        known = {name for one in payload.collections for name in export_rows.COLUMNS.get(one, export_rows.EMPTY_COLUMNS)}
        if unknown := set(payload.columns) - known:
            sentence = f"There is no column {min(unknown)!r}: use {', '.join(sorted(known))}."
            raise ApiError(400, "columns_invalid", sentence)
    if payload.parameters:
        _check_parameters(context, payload.parameters)


def _check_parameters(context: AppContext, parameters: dict[str, Any]) -> None:
    try:
        build_conditions(context.database, parse_filters(parameters))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadInput(
            f"parameters.{place[:60]} is invalid: parameters are filters of GET /v1/subscribers, such as"
            ' {"type": ["regular"]}.',
            f"parameters.{place}",
        ) from error


def _as_export(context: AppContext, request: Request, row: dict[str, Any]) -> dict[str, Any]:
    token = tokens.export_token(context.settings.need_secrets(), row["id"], request.state.key.id, datetime.now(UTC))
    return {
        "id": public_ids.public("export", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "collections": row["collections"],
        "parameters": row["parameters"],
        "format": row["format"],
        "columns": row["columns"],
        "url": f"{context.settings.api_url}/exports/{token}",
        "completion_date": row["created_at"].isoformat(),
        "status": "ready",
    }
