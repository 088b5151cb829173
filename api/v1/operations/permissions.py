"""``/v1/permissions``: whether a key may do something, before texts are built or uploaded for it. Not Buttondown's."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.v1.common import schemas
from api.v1.common.authentication import require_permission
from api.v1.common.errors import raise_not_found

router = APIRouter(prefix="/permissions", tags=["Publish"])

_PATHS = {
    "plan": "publish/plan",
    "preview": "previews",
    "publish": "publish",
    "test": "test_emails",
}


@router.get("/{operation}", status_code=204, response_class=Response, responses=schemas.error_responses(404))
def check_permission(request: Request, operation: str) -> Response:
    """Check a permission.

    204 if the key may do the operation: plan, preview, publish or test; 403 with the scope that may, if not. Changes nothing.
    """
    if operation not in _PATHS:
        raise_not_found("operation")
    require_permission(request, "POST", _PATHS[operation])
    return Response(status_code=204)
