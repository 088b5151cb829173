"""``/v1/bulk_actions``: one change to many subscribers, up to 1,000 in the request, the rest in a worker."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from api.common.dependencies import Context
from api.v1.common import schemas
from api.v1.common.errors import ApiError, check_declared_fields, make_rejection_error, raise_not_found
from mailer.core import public_ids
from mailer.core.errors import BadInput, BadRule
from mailer.flows.operations import api_records
from mailer.flows.subscribers import bulk_actions
from mailer.flows.subscribers.subscriber_admin import Rejected

router = APIRouter(prefix="/bulk_actions", tags=["Bulk actions"])


class BulkActionInput(BaseModel):
    """The action and its subscribers (`metadata.ids`); some actions need `metadata.tags`, `.metadata` or `.color`."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, Field(max_length=100)]
    metadata: dict[str, str | list[str] | dict[str, Any]]


@router.post("", status_code=201, responses=schemas.response("BulkAction", 201))
def create_bulk_action(context: Context, payload: BulkActionInput) -> JSONResponse:
    """Create a bulk action.

    Up to 1,000 subscribers are changed at once, the rest in the background. Protected subscribers are skipped;
    `metadata.done` counts the changed ones.
    """
    try:
        if isinstance(given := payload.metadata.get("metadata"), dict):
            check_declared_fields(context, given)
        row = bulk_actions.run_action(context.database, context.settings, payload.type, payload.metadata)
    except Rejected as error:
        raise make_rejection_error(error) from error
    except BadRule:
        raise
    except BadInput as error:
        raise ApiError(400, "invalid_input", str(error)) from error
    return JSONResponse(_as_bulk_action(row), 201, background=BackgroundTask(context.wake_transactional))


@router.get("/{id}", responses=schemas.response("BulkAction") | schemas.error_responses(404))
def retrieve_bulk_action(context: Context, id: str) -> JSONResponse:
    """Retrieve a bulk action.

    Its status, and how many subscribers were changed so far.
    """
    row = api_records.get_record(context.database, "bulk_actions", "bulk", id)
    return JSONResponse(_as_bulk_action(row)) if row else raise_not_found("bulk action")


def _as_bulk_action(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("bulk", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "type": row["type"],
        "metadata": row["metadata"],
        "status": row["state"],
        "completion_date": row["done_at"].isoformat() if row["done_at"] else None,
    }
