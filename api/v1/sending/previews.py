"""``/v1/previews``: the site that a branch would make, shown to its reviewers. Not part of Buttondown's API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from api.common.dependencies import Context
from api.v1.sending.publish import read_body
from mailer.flows.publishing import site_previews
from mailer.flows.publishing.site_previews import MAX_BRANCH_CHARS

router = APIRouter(prefix="/previews", tags=["Publish"])

Branch = Annotated[str, Query(min_length=1, max_length=MAX_BRANCH_CHARS)]
_FILE = {"schema": {"type": "string", "format": "binary"}, "example": "H4sIAAAAAAACA…"}
_ARCHIVE = {"required": True, "content": {"application/octet-stream": _FILE}}


class PreviewResult(BaseModel):
    """Where the preview is shown, and until when. ``reviewer_url`` shows paid text too; null unless it was asked for."""

    url: str
    reviewer_url: str | None
    expires_at: str


@router.post("", response_model=PreviewResult, openapi_extra={"requestBody": _ARCHIVE})
def upload_preview(
    context: Context, branch: Branch, raw: Annotated[bytes, Depends(read_body)], reviewer: bool = False
) -> JSONResponse:
    """Upload the preview of a branch.

    The body is what `postmerge publish --preview` packs. It replaces the branch's last preview, at the same address.
    """
    made = site_previews.store_preview(context.settings, branch, raw)
    facts = {"url": made.url, "reviewer_url": made.reviewer_url if reviewer else None}
    return JSONResponse({**facts, "expires_at": made.expires_at.isoformat(timespec="seconds")})


@router.delete("", status_code=204, response_class=Response)
def delete_preview(context: Context, branch: Branch) -> Response:
    """Delete the preview of a branch.

    Does nothing if there is none.
    """
    site_previews.remove_preview(context.settings, branch)
    return Response(status_code=204)
