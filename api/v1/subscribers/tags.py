"""``/v1/tags``: tags with a color and descriptions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from mailer.core import public_ids
from mailer.flows.subscribers import tag_admin
from mailer.store.subscribers.tags import SubscriberTag

router = APIRouter(prefix="/tags", tags=["Tags"])

Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Color = Annotated[str, Field(pattern=r"^#([A-Fa-f0-9]{6}|[A-Fa-f0-9]{3})$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class TagInput(BaseModel):
    """A new tag. Its name is kept as written, and compared without case."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    color: Color
    description: Words | None = None
    public_description: Words | None = None
    subscriber_editable: bool = False


class TagUpdateInput(BaseModel):
    """The fields to change. A new name applies to all subscribers who have the tag."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    color: Color | None = None
    description: Words | None = None
    public_description: Words | None = None
    secondary_id: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    subscriber_editable: bool | None = None


@router.get("", responses=schemas.response("TagPage"))
def list_tags(
    context: Context,
    request: Request,
    page: paging.PageQuery,
    ids: Annotated[list[str], Query(max_length=1000)] = [],  # noqa: B006
) -> JSONResponse:
    """List tags.

    In the order of their first use.
    """
    numbers = [number for one in ids if (number := public_ids.number("sub_tag", one)) is not None] if ids else None
    paging.check_key(page, int)
    found, count = tag_admin.list_tags(context.database, page.range, numbers)
    shown = paging.cut(page, found, lambda tag: tag.id)
    return paging.page_response(context, request, page, [as_tag(one) for one in shown.rows], count, shown.after)


@router.post("", status_code=201, responses=schemas.response("Tag", 201) | schemas.response("Tag"))
def create_tag(
    context: Context,
    payload: TagInput,
    collision: Annotated[Literal["no_op", "overwrite"], Header(alias="X-Buttondown-Collision-Behavior")] = "no_op",
) -> JSONResponse:
    """Create a tag.

    With the collision behavior `overwrite`, an existing tag is updated and returned with 200.
    """
    tag, new = tag_admin.create_tag(
        context.database, payload.name, payload.model_dump(exclude={"name"}), collision == "overwrite"
    )
    return JSONResponse(as_tag(tag), 201 if new else 200)


@router.get("/{id}", responses=schemas.response("Tag") | schemas.error_responses(404))
def retrieve_tag(context: Context, id: str) -> JSONResponse:
    """Retrieve a tag.

    With its color and descriptions.
    """
    found = tag_admin.find_tag(context.database, id)
    return JSONResponse(as_tag(found)) if found else raise_not_found("tag")


@router.patch("/{id}", responses=schemas.response("Tag") | schemas.error_responses(404))
def update_tag(context: Context, id: str, change: TagUpdateInput) -> JSONResponse:
    """Update a tag.

    A new name applies to all subscribers who have the tag.
    """
    given = change.model_dump(exclude={"secondary_id"}, exclude_unset=True)
    found = tag_admin.change_tag(context.database, id, given)
    return JSONResponse(as_tag(found)) if found else raise_not_found("tag")


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(404))
def delete_tag(context: Context, id: str) -> Response:
    """Delete a tag.

    Removes it from all subscribers.
    """
    if not tag_admin.delete_tag(context.database, id):
        raise_not_found("tag")
    return Response(status_code=204)


@router.get("/{id}/analytics", responses=schemas.response("TagAnalytics") | schemas.error_responses(404))
def retrieve_tag_analytics(context: Context, id: str) -> JSONResponse:
    """Retrieve a tag's analytics.

    The number of subscribers who have the tag. Opens and clicks are not tracked and always 0.
    """
    number = tag_admin.count_subscribers(context.database, id)
    if number is None:
        raise_not_found("tag")
    return JSONResponse({"created_subscribers": number, "click_rate": 0, "open_rate": 0})


def as_tag(tag: SubscriberTag) -> dict[str, Any]:
    """A tag in the contract's shape."""
    return {
        "id": public_ids.public("sub_tag", tag.id),
        "secondary_id": tag.id,
        "creation_date": tag.created_at.isoformat(),
        "name": tag.shown,
        "color": tag.color,
        "description": tag.description,
        "public_description": tag.public_description,
        "subscriber_editable": tag.subscriber_editable,
    }
