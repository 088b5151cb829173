"""``/v1/bulk_actions``: one change for many; a thousand are done while the request waits, more by a worker."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from api.common.dependencies import Context
from api.v1.common import schemas
from api.v1.common.errors import ApiError, make_rejection_error, raise_not_found
from mailer.core import public_ids
from mailer.core.errors import BadInput, BadRule
from mailer.flows.operations import api_records
from mailer.flows.subscribers import bulk_actions
from mailer.flows.subscribers.subscriber_admin import Rejected

router = APIRouter(prefix="/bulk_actions", tags=["Bulk actions"])


class BulkActionInput(BaseModel):
    """What to do, and with whom: `metadata.ids`; `metadata.tags`, `metadata.metadata` or `metadata.color` where needed."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, Field(max_length=100)]
    metadata: dict[str, str | list[str] | dict[str, Any]]


@router.post("", status_code=201, responses=schemas.response("BulkAction", 201))
def create_bulk_action(context: Context, payload: BulkActionInput) -> JSONResponse:
    """Do it: up to 1,000 at once, more by and by. Who is protected is passed over; `metadata.done` counts the changed."""
    try:
        row = bulk_actions.run(context.database, context.settings, payload.type, payload.metadata)
    except Rejected as error:
        raise make_rejection_error(error) from error
    except BadRule:
        raise
    except BadInput as error:
        raise ApiError(400, "invalid_input", str(error)) from error
    return JSONResponse(_as_bulk_action(row), 201, background=BackgroundTask(context.wake_transactional))


@router.get("/{id}", responses=schemas.response("BulkAction") | schemas.error_responses(404))
def retrieve_bulk_action(context: Context, id: str) -> JSONResponse:
    """One action: whether it is done, and how many were changed so far."""
    row = api_records.get(context.database, "bulk_actions", "bulk", id)
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
