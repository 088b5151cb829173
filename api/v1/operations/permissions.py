"""``/v1/permissions``: whether a key may do something, before texts are built or uploaded for it. Not Buttondown's."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.v1.common.authentication import require_permission

router = APIRouter(prefix="/permissions", tags=["Publish"])

Operation = Literal["plan", "preview", "publish", "test"]
_PATHS: dict[Operation, str] = {
    "plan": "publish/plan",
    "preview": "previews",
    "publish": "publish",
    "test": "test_emails",
}


@router.get("/{operation}", status_code=204, response_class=Response)
def check_permission(request: Request, operation: Operation) -> Response:
    """Check a permission.

    204 if the key may plan, preview, publish or send tests; 403 with the scope that may, if not. Changes nothing.
    """
    require_permission(request, "POST", _PATHS[operation])
    return Response(status_code=204)
