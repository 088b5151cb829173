"""``/v1/sends``: each send with the states of its deliveries. Not part of Buttondown's API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.common.dependencies import Context
from api.v1.common import paging, schemas
from api.v1.common.authentication import is_blind
from api.v1.common.errors import raise_not_found
from mailer.core.errors import BadInput
from mailer.flows.sending.send_status import list_send_statuses, send_facts
from mailer.store.sending.sends import SendState

router = APIRouter(prefix="/sends", tags=["Sends"])
# All others depend on subscribers: a send to nobody is paused, one to few finishes soon, and bounces stop one.
_KNOWN_TO_PUBLISHERS = (SendState.SCHEDULED, SendState.CANCELLED)


class SendOutput(BaseModel):
    """A send with its deliveries counted by state; ``audience`` is null until it is frozen."""

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
    waiting_reason: str
    watch_until: str | None
    due_at: str
    started_at: str | None
    finished_at: str | None


class SendPage(BaseModel):
    """A page of sends, newest first."""

    results: list[SendOutput]
    count: int
    next: str | None
    previous: str | None


@router.get("", response_model=SendPage)
def list_sends(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
    """List sends.

    Each send with its deliveries counted by state, newest first, 100 per page. A key with the scope `publish` gets no counts,
    no reasons and no times of what happened: it sees every send that is neither scheduled nor cancelled as `holding`.
    """
    found = [_as_send(send_facts(one), is_blind(request)) for one in list_send_statuses(context.database)]
    shown = paging.cut_sorted(page, found, lambda send: int(send["id"]), descending=True)
    return paging.page_response(context, request, page, shown.rows, len(found), shown.after)


@router.get("/{id_or_issue}", response_model=SendOutput, responses=schemas.error_responses(404))
def retrieve_send(context: Context, request: Request, id_or_issue: str) -> JSONResponse:
    """Retrieve a send.

    By its id, or the latest send of an issue by the issue's key.
    """
    try:
        return JSONResponse(_as_send(send_facts(list_send_statuses(context.database, id_or_issue)[0]), is_blind(request)))
    except BadInput:
        return raise_not_found("send")


def _as_send(facts: dict[str, Any], blind: bool) -> dict[str, Any]:
    shown = {**facts, "id": str(facts["id"])}
    if not blind:
        return shown
    times = dict.fromkeys(("watch_until", "started_at", "finished_at"))
    state = facts["state"] if facts["state"] in _KNOWN_TO_PUBLISHERS else SendState.HOLDING
    return {**shown, **times, "audience": None, "deliveries": {}, "reason": "", "waiting_reason": "", "state": state}
