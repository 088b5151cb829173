"""``/v1/notes``: notes on subscribers, tags and emails."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError, raise_not_found
from api.v1.common.record_lists import list_records
from api.v1.common.request_validation import JsonObject
from mailer.core import public_ids
from mailer.flows.operations import api_records

router = APIRouter(prefix="/notes", tags=["Notes"])

_PREFIX = {"subscriber": "sub", "tag": "sub_tag", "email": "em"}
Model = Literal[
    "automation", "comment", "conversation", "email", "external_feed", "invitation", "socialmention", "stripe_customer",
    "subscriber", "survey", "tag", "webmention",
]  # fmt: skip


class NoteInput(BaseModel):
    """A note on a subscriber, a tag or an email."""

    body: Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]*\S[^\x00]*$")]
    model_type: Model
    model_id: Annotated[str, Field(max_length=50)]
    metadata: JsonObject = {}


@router.get("", responses=schemas.response("NotePage"))
def list_notes(
    context: Context,
    request: Request,
    page: paging.PageQuery,
    model_type: Model | None = None,
    model_id: Annotated[str | None, Query(max_length=50)] = None,
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
) -> JSONResponse:
    """List notes.

    Newest first.
    """
    where: dict[str, Any] = {"model_type": model_type} if model_type else {}
    if model_id is not None:
        kinds = [model_type] if model_type else list(_PREFIX)
        numbers = {kind: public_ids.number(_PREFIX.get(kind, "?"), model_id) for kind in kinds}
        kind = next((kind for kind, number in numbers.items() if number is not None), None)
        if kind is None:
            return paging.page_response(context, request, page, [], 0)
        where = {"model_type": kind, "model_id": numbers[kind]}
    return list_records(request, page, "notes", _as_note, where)


@router.post("", operation_id="create_note_endpoint", status_code=201, responses=schemas.response("Note", 201))
def create_note(context: Context, payload: NoteInput) -> JSONResponse:
    """Create a note.

    On a subscriber, a tag or an email.
    """
    number = api_records.resolve_id(context.database, payload.model_type, payload.model_id)
    if number is None:
        raise ApiError(400, "invalid_input", "There is no subscriber, tag or email with this model_type and model_id.")
    row = api_records.create_record(context.database, "notes", {**payload.model_dump(), "model_id": number})
    return JSONResponse(_as_note(row), 201)


@router.delete(
    "/{id}",
    operation_id="delete_note_endpoint",
    status_code=204,
    response_class=Response,
    responses=schemas.error_responses(404),
)
def delete_note(context: Context, id: str) -> Response:
    """Delete a note.

    The subscriber, tag or email it is about does not change.
    """
    if not api_records.delete_record(context.database, "notes", "note", id):
        raise_not_found("note")
    return Response(status_code=204)


def _as_note(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("note", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "body": row["body"],
        "model_type": row["model_type"],
        "model_id": public_ids.public(_PREFIX[row["model_type"]], row["model_id"]),
        "metadata": row["metadata"],
        "source": "user",
        "user_id": None,
    }
