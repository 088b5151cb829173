"""``/v1/bulk_actions``: one change for many; a thousand are done while the request waits, more by a worker."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from api.common.dependencies import Here
from api.v1 import schemas
from api.v1.errors import ApiError, not_found, rejected
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


@router.post("", status_code=201, responses=schemas.answer("BulkAction", 201))
def create_bulk_action(desk: Here, wish: BulkActionInput) -> JSONResponse:
    """Do it: up to 1,000 at once, more by and by. Who is protected is passed over; `metadata.done` counts the changed."""
    try:
        row = bulk_actions.run(desk.database, desk.settings, wish.type, wish.metadata)
    except Rejected as error:
        raise rejected(error) from error
    except BadRule:
        raise
    except BadInput as error:
        raise ApiError(400, "invalid_input", str(error)) from error
    return JSONResponse(_action(row), 201, background=BackgroundTask(desk.ring))


@router.get("/{id}", responses=schemas.answer("BulkAction") | schemas.errors(404))
def get_bulk_action(desk: Here, id: str) -> JSONResponse:
    """One action: whether it is done, and how many were changed so far."""
    row = api_records.get(desk.database, "bulk_actions", "bulk", id)
    return JSONResponse(_action(row)) if row else not_found("bulk action")


def _action(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("bulk", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "type": row["type"],
        "metadata": row["metadata"],
        "status": row["state"],
        "completion_date": row["done_at"].isoformat() if row["done_at"] else None,
    }
