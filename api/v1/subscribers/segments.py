"""``/v1/segments``: saved filters of subscribers that can be expressed as an audience rule."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from api.v1.common.record_lists import list_records
from mailer.core import public_ids
from mailer.flows.operations import api_records
from mailer.flows.subscribers import segment_admin

router = APIRouter(prefix="/segments", tags=["Segments"])

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


class EmailFilter(BaseModel):
    """One comparison."""

    field: Annotated[str, Field(max_length=300, pattern=r"^subscriber\.([a-z_]+|metadata\..+)$")]
    operator: Literal[
        "equals", "not_equals", "contains", "not_contains", "is_empty", "is_not_empty", "greater_than", "less_than"
    ]
    value: Words


class EmailFilterGroup(BaseModel):
    """Comparisons and groups, of which all (`and`) or any (`or`) must be true."""

    filters: Annotated[list[EmailFilter], Field(max_length=100)]
    groups: Annotated[list[EmailFilterGroup], Field(max_length=20)]
    predicate: Literal["and", "or"]


class SegmentInput(BaseModel):
    """A new segment."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Words = ""
    filters: EmailFilterGroup


class SegmentUpdateInput(BaseModel):
    """The fields to change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Words | None = None
    filters: EmailFilterGroup | None = None


@router.get("", responses=schemas.response("SegmentPage"))
def list_segments(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
    """List segments.

    Newest first.
    """
    return list_records(request, page, "segments", _as_segment)


@router.post("", status_code=201, responses=schemas.response("Segment", 201))
def create_segment(context: Context, payload: SegmentInput) -> JSONResponse:
    """Create a segment.

    Its filters must be expressible as an audience rule.
    """
    return JSONResponse(_as_segment(segment_admin.create_segment(context.database, payload.model_dump())), 201)


@router.get("/{id}", responses=schemas.response("Segment") | schemas.error_responses(404))
def retrieve_segment(context: Context, id: str) -> JSONResponse:
    """Retrieve a segment.

    With its filters.
    """
    row = api_records.get_record(context.database, "segments", "segment", id)
    return JSONResponse(_as_segment(row)) if row else raise_not_found("segment")


@router.patch("/{id}", responses=schemas.response("Segment") | schemas.error_responses(404, 409))
def update_segment(context: Context, id: str, change: SegmentUpdateInput) -> JSONResponse:
    """Update a segment.

    Fields that are left out do not change.
    """
    row = segment_admin.change_segment(context.database, id, change.model_dump(exclude_none=True))
    return JSONResponse(_as_segment(row)) if row else raise_not_found("segment")


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(404, 409))
def delete_segment(context: Context, id: str) -> Response:
    """Delete a segment.

    Its subscribers are kept. Refused while another segment or a scheduled issue uses it.
    """
    if not segment_admin.delete_segment(context.database, id):
        raise_not_found("segment")
    return Response(status_code=204)


def _as_segment(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("segment", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "name": row["name"],
        "description": row["description"],
        "filters": row["filters"],
    }
