"""``/v1/sends``: our own, beside the contract: each send with what became of its deliveries."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from mailer.core.errors import BadInput
from mailer.flows.sending.send_status import standing_facts, status

router = APIRouter(prefix="/sends", tags=["Sends"])


class SendOutput(BaseModel):
    """A send with its deliveries counted by state; ``audience`` is None until it is frozen."""

    id: str
    issue: str
    edition: int
    digest: str
    state: str
    audience: int | None
    deliveries: dict[str, int]
    subject: str
    rule: str
    reason: str
    waits_for: str
    look_until: str | None
    due_at: str
    started_at: str | None
    finished_at: str | None


class SendPage(BaseModel):
    """Some sends, the newest first."""

    results: list[SendOutput]
    count: int
    next: str | None
    previous: str | None


@router.get("", response_model=SendPage)
def list_sends(context: Context, request: Request, page: paging.PageNumber = 1) -> JSONResponse:
    """Sends with what became of their deliveries, 100 a page."""
    found = [_as_send(standing_facts(one)) for one in status(context.database)]
    return paging.page_response(context, request, paging.slice_page(found, page), len(found), page)


@router.get("/{id_or_issue}", response_model=SendOutput, responses=schemas.error_responses(404))
def retrieve_send(context: Context, id_or_issue: str) -> JSONResponse:
    """One send, by its id, or the newest of an issue by the issue's key."""
    try:
        return JSONResponse(_as_send(standing_facts(status(context.database, id_or_issue)[0])))
    except BadInput:
        return raise_not_found("send")


def _as_send(facts: dict[str, Any]) -> dict[str, Any]:
    return {**facts, "id": str(facts["id"])}
