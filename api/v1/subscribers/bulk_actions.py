"""``/v1/bulk_actions``: one change to many subscribers, up to 1,000 in the request, the rest in a worker."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.background import BackgroundTask

from api.common.dependencies import Context
from api.v1.common import schemas
from api.v1.common.errors import ApiError, check_declared_fields, raise_not_found
from api.v1.subscribers.subscriber_filters import build_conditions, parse_filters
from mailer.core import public_ids
from mailer.core.errors import BadInput, BadRule
from mailer.flows.operations import api_records, bulk_actions
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.subscribers.subscriber_records import Condition

router = APIRouter(prefix="/bulk_actions", tags=["Bulk actions"])


class BulkActionInput(BaseModel):
    """The action and what it changes: `metadata.ids`, or `["all"]` with the filters of a list in `metadata.parameters`.

    Some actions need more: `metadata.tag_ids`, `.metadata`, `.body`, `.rename_mapping` or `.color`.
    """

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, Field(max_length=100)]
    metadata: dict[str, str | list[str] | dict[str, Any]]


@router.post("", status_code=201, responses=schemas.response("BulkAction", 201))
def create_bulk_action(context: Context, payload: BulkActionInput) -> JSONResponse:
    """Create a bulk action.

    Up to 1,000 subscribers are changed at once, the rest in the background. Protected subscribers are skipped;
    `metadata.done` counts the changed ones. Ids that are left out never mean everybody.
    """
    try:
        if payload.type == "apply_metadata" and isinstance(given := payload.metadata.get("metadata"), dict):
            check_declared_fields(context, given)
        where = _build_conditions(context, payload.metadata)
        row = bulk_actions.run_action(context.database, context.settings, payload.type, payload.metadata, where)
    except (Rejected, BadRule):
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


def _build_conditions(context: Context, metadata: dict[str, Any]) -> list[Condition]:
    """The conditions of `metadata.parameters`, which narrow down whom `["all"]` means."""
    given = metadata.get("parameters")
    if given is None:
        return []
    if metadata.get("ids") != bulk_actions.ALL or not isinstance(given, dict):
        raise Rejected("bulk_action_invalid_ids", 'metadata.parameters is an object, beside metadata.ids ["all"].')
    try:
        return build_conditions(context.database, parse_filters(given))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])[:60]
        sentence = f"metadata.parameters.{place} is invalid: parameters are filters of GET /v1/subscribers."
        raise Rejected("bulk_action_invalid_metadata", sentence) from error


def _as_bulk_action(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("bulk", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "type": row["type"],
        "metadata": row["metadata"],
        "status": row["state"],
        "completion_date": row["done_at"].isoformat() if row["done_at"] else None,
    }
