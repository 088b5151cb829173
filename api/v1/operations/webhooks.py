"""``/v1/webhooks``: who is notified of events, and the attempts to do so."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from api.v1.common.record_lists import list_records
from mailer.core import public_ids
from mailer.core.errors import BadInput
from mailer.flows.operations import api_records, webhooks
from mailer.flows.operations.webhooks import NewWebhook

router = APIRouter(prefix="/webhooks", tags=["Webhooks"])

Status = Literal["enabled", "disabled"]
Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


class WebhookInput(BaseModel):
    """A webhook. If the signing key is empty, one is generated and returned."""

    model_config = ConfigDict(extra="forbid")

    status: Status = "enabled"
    event_types: Annotated[list[str], Field(max_length=100)]
    url: Annotated[str, Field(min_length=1, max_length=2000)]
    description: Text = ""
    signing_key: Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")] = ""


class WebhookUpdateInput(BaseModel):
    """The fields to change."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    event_types: Annotated[list[str], Field(max_length=100)] | None = None
    url: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    description: Text | None = None
    signing_key: Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")] | None = None


@router.get("", responses=schemas.response("WebhookPage"))
def list_webhooks(context: Context, request: Request, page: paging.PageQuery, status: Status | None = None) -> JSONResponse:
    """List webhooks.

    Newest first.
    """
    where = {"enabled": status == "enabled"} if status else {}
    return list_records(request, page, "webhooks", _as_webhook, where)


@router.post("", status_code=201, responses=schemas.response("Webhook", 201))
def create_webhook(context: Context, payload: WebhookInput) -> JSONResponse:
    """Create a webhook.

    URLs in private networks are refused.
    """
    types, enabled = _check_event_types(payload.event_types), payload.status == "enabled"
    new = NewWebhook(payload.url, types, payload.description, payload.signing_key, enabled)
    row = webhooks.create_webhook(context.database, context.settings, new)
    return JSONResponse(_as_webhook(row), 201)


@router.get("/{id}", responses=schemas.response("Webhook") | schemas.error_responses(404))
def retrieve_webhook(context: Context, id: str) -> JSONResponse:
    """Retrieve a webhook.

    With its signing key.
    """
    return JSONResponse(_as_webhook(_find_webhook(context, id)))


@router.patch("/{id}", responses=schemas.response("Webhook") | schemas.error_responses(404))
def update_webhook(context: Context, id: str, payload: WebhookUpdateInput) -> JSONResponse:
    """Update a webhook.

    Fields that are left out do not change. Enabling a webhook that was disabled, or a new URL, resets its failures.
    """
    values = payload.model_dump(include={"url", "description"}, exclude_none=True)
    if payload.event_types is not None:
        values["event_types"] = _check_event_types(payload.event_types)
    if payload.status:
        values["enabled"] = payload.status == "enabled"
    if payload.signing_key:
        values["secret"] = payload.signing_key
    row = webhooks.change_webhook(context.database, context.settings, id, values)
    return JSONResponse(_as_webhook(row)) if row else raise_not_found("webhook")


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(404))
def delete_webhook(context: Context, id: str) -> Response:
    """Delete a webhook.

    Deletes its attempts too.
    """
    if not api_records.delete_record(context.database, "webhooks", "hook", id):
        raise_not_found("webhook")
    return Response(status_code=204)


_MESSAGE_STATES = {"pending": ("pending", "claimed"), "success": ("delivered",), "failure": ("failed",)}


@router.get("/{id}/attempts", responses=schemas.response("WebhookAttemptOutputPage") | schemas.error_responses(404))
def retrieve_webhook_attempts(
    context: Context,
    request: Request,
    id: str,
    page: paging.PageQuery,
    status: Annotated[str | None, Query(max_length=50)] = None,
) -> JSONResponse:
    """List the attempts of a webhook.

    Messages to this webhook with the number of attempts, newest first. Filter by `status`: pending, success or failure.
    """
    row = _find_webhook(context, id)
    states = _MESSAGE_STATES.get(status, ()) if status else ("pending", "claimed", "delivered", "failed")
    paging.check_key(page, int)
    rows, count = webhooks.list_messages(context.database, row["id"], states, page.range)
    shown = paging.cut(page, rows, lambda one: one["id"])
    return paging.page_response(context, request, page, [_as_attempt(one) for one in shown.rows], count, shown.after)


@router.post(
    "/{id}/attempts/{attempt_id}/replay", status_code=204, response_class=Response, responses=schemas.error_responses(404)
)
def replay_webhook_attempt(context: Context, id: str, attempt_id: str) -> Response:
    """Replay a webhook attempt.

    Sends the message again. Not part of Buttondown's API.
    """
    row, number = _find_webhook(context, id), public_ids.number("msg", attempt_id)
    if number is None or not webhooks.replay_messages(context.database, row["id"], [number]):
        raise_not_found("attempt")
    return Response(status_code=204)


@router.post(
    "/{id}/test", operation_id="test_webhook", status_code=204, response_class=Response, responses=schemas.error_responses(404)
)
def send_test_webhook(
    context: Context, id: str, event_type: Annotated[str, Query(max_length=100)] = "subscriber.created"
) -> Response:
    """Send a test event.

    Queues a message for this webhook without an event.
    """
    webhooks.send_test_message(context.database, _find_webhook(context, id)["id"], _check_event_types([event_type])[0])
    return Response(status_code=204)


def _check_event_types(given: list[str]) -> list[str]:
    known = schemas.load_schemas()["ExternalEventType"]["enum"]
    for one in given:
        if one not in known:
            raise BadInput(f"{one[:50]!r} is not an event type: see ExternalEventType in the API description.")
    return sorted(set(given))


def _find_webhook(context: AppContext, id: str) -> dict[str, Any]:
    row = api_records.get_record(context.database, "webhooks", "hook", id)
    return row if row else raise_not_found("webhook")


def _as_webhook(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": public_ids.public("hook", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "status": "enabled" if row["enabled"] else "disabled",
        "event_types": row["event_types"],
        "url": row["url"],
        "description": row["description"],
        "signing_key": row["secret"],
    }


def _as_attempt(row: dict[str, Any]) -> dict[str, Any]:
    status = next(word for word, states in _MESSAGE_STATES.items() if row["state"] in states)
    return {
        "id": public_ids.public("msg", row["id"]),
        "creation_date": row["created_at"].isoformat(),
        "status": status,
        "event_type": row["type"],
        "error_message": row["error"] or None,
        "attempt_count": row["attempts"],
        "completion_date": row["settled_at"].isoformat() if row["settled_at"] else None,
        "duration_ms": row["milliseconds"],
    }
