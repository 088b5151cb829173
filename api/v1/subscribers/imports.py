"""``/v1/imports``: a list is uploaded and planned, then imported when the client starts the import."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError, raise_not_found
from api.v1.common.record_lists import list_records
from api.v1.common.request_validation import JsonObject
from mailer.core import public_ids
from mailer.core.errors import BadInput
from mailer.flows.operations import api_records
from mailer.flows.subscribers import uploads

router = APIRouter(prefix="/imports", tags=["Imports"])

_SOURCES = {"postmerge": "custom", "listmonk": "custom", "csv": "standard"}  # other formats have the same name
Label = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]


class UpdateImportInput(BaseModel):
    """A label, the meaning of the columns, the evidence of consent (`metadata.evidence`), or `status` to start the import."""

    model_config = ConfigDict(extra="forbid")

    label: Label | None = None
    metadata: JsonObject | None = None
    status: Literal["in_progress"] | None = None


@router.get("", responses=schemas.response("ImportPage"))
def list_imports(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
    """List imports.

    Newest first.
    """
    return list_records(request, page, "imports", _as_import)


@router.post("", status_code=201, responses=schemas.response("Import", 201))
def create_import(
    context: Context, file: UploadFile, metadata: Annotated[str | None, Form(max_length=20_000)] = None
) -> JSONResponse:
    """Create an import.

    Uploads a list of at most 32 MB. `metadata.plan` of the response says what the import would do; nobody is imported yet.
    """
    given = uploads.parse_metadata(metadata)
    try:
        row = uploads.add_upload(context.database, context.settings, file.filename or "", file.file, given)
    except uploads.NotText as error:
        raise ApiError(400, "invalid_file_type", str(error)) from error
    except BadInput as error:
        raise ApiError(400, "malformed_csv", str(error)) from error
    return JSONResponse(_as_import(row), 201)


@router.get("/{id}", responses=schemas.response("Import") | schemas.error_responses(404))
def retrieve_import(context: Context, id: str) -> JSONResponse:
    """Retrieve an import.

    With its plan and, once it is done, its results.
    """
    row = api_records.get_record(context.database, "imports", "sub_imp", id)
    return JSONResponse(_as_import(row)) if row else raise_not_found("import")


@router.patch("/{id}", responses=schemas.response("Import") | schemas.error_responses(404, 409))
def update_import(context: Context, id: str, change: UpdateImportInput) -> JSONResponse:
    """Update an import, or start it.

    An import never resubscribes anyone who unsubscribed, bounced or complained, and confirms nobody without evidence.
    """
    row = api_records.get_record(context.database, "imports", "sub_imp", id)
    if row is None:
        raise_not_found("import")
    if change.metadata is not None or not change.status:
        row = uploads.correct_upload(context.database, context.settings, row["id"], change.label, change.metadata)
    if change.status:
        row = uploads.start_import(context.database, context.settings, row["id"], change.label)
    return JSONResponse(_as_import(row))


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(404))
def delete_import(context: Context, id: str) -> Response:
    """Delete an import.

    Deletes the file and the record of the import; imported subscribers and their evidence are kept.
    """
    if not api_records.delete_record(context.database, "imports", "sub_imp", id):
        raise_not_found("import")
    return Response(status_code=204)


def _as_import(row: dict[str, Any]) -> dict[str, Any]:
    failed = row["state"] == "failed"
    return {
        "id": public_ids.public("sub_imp", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "type": "subscriber_import",
        "status": row["state"],
        "source": _SOURCES.get(row["format"], row["format"]),
        "label": row["label"] or None,
        "metadata": {**row["metadata"], "plan": row["plan"], **({"error": row["results"]["reason"]} if failed else {})},
        "results": row["results"] if row["state"] == "succeeded" else None,
    }
