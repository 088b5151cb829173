"""``/v1/publish``: hand editions over and publish them, with a ``publish`` key. Ours, not the contract's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from api.common.dependencies import Desk, Here
from api.v1 import schemas
from mailer.core.edition import Finding
from mailer.core.errors import BadInput
from mailer.flows.publishing import publish as publishing
from mailer.flows.publishing import remote_publish
from mailer.flows.publishing.preflight import ALLOWED
from mailer.flows.publishing.publish_plan import Action, Plan, Step
from mailer.transports import make as make_transport
from mailer.transports.base import Transport

router = APIRouter(prefix="/publish", tags=["Publish"])

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digests = Annotated[list[Digest], Field(max_length=20_000)]


class Archive(BaseModel):
    """The digests of all editions of the archive."""

    model_config = ConfigDict(extra="forbid")

    editions: Digests


class Told(BaseModel):
    """A finding of the build."""

    level: Literal["error", "warning"]
    path: Annotated[str, Field(max_length=1000)]
    line: int
    message: Annotated[str, Field(max_length=2000)]
    issue: Annotated[str, Field(max_length=1000)] = ""
    asks: int = 0


class Order(Archive):
    """What to publish. ``gate`` null: as the server's transport wants it."""

    findings: Annotated[list[Told], Field(max_length=5000)] = []
    issue: Annotated[str, Field(max_length=500)] = ""
    allow: Annotated[list[str], Field(max_length=20)] = []
    gate: bool | None = None


class Missing(BaseModel):
    """The digests that must be handed over first."""

    missing: list[str]


class Done(BaseModel):
    """What publishing did; nothing new when it was done before."""

    first: bool
    sends: list[int]
    steps: list[dict[str, Any]]


class Planned(BaseModel):
    """What publishing would do; `refusals` say what keeps it from doing so."""

    first: bool
    steps: list[dict[str, Any]]
    refusals: list[dict[str, Any]]


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/missing", response_model=Missing)
def missing(desk: Here, archive: Archive) -> JSONResponse:
    """Which of these editions are not here yet."""
    return JSONResponse({"missing": remote_publish.missing(desk.database, archive.editions)})


@router.put("/editions/{digest}", status_code=204, response_class=Response)
def hand_over(desk: Here, digest: str, raw: Annotated[bytes, Depends(_body)]) -> Response:
    """Hand one edition over, as the JSON that its build wrote; `digest` is the SHA-256 of the body."""
    remote_publish.take(desk.database, digest, raw)
    return Response(status_code=204)


@router.post("/plan", response_model=Planned)
def plan(desk: Here, order: Order) -> JSONResponse:
    """Say what publishing would do, and what refuses it. Changes nothing."""
    outlook = remote_publish.look_handed(desk.database, desk.settings, *_arguments(desk, order))
    refusals = [{"guard": guard.name, "sentence": guard.sentence} for guard in outlook.guards]
    return JSONResponse({"first": outlook.plan.first, "steps": _steps(outlook.plan), "refusals": refusals})


@router.post("", response_model=Done, responses=schemas.errors(409))
def publish(desk: Here, order: Order) -> JSONResponse:
    """Publish: the same plan and the same preflight as on the server itself; again does nothing new."""
    done = remote_publish.publish_handed(desk.database, desk.settings, *_arguments(desk, order))
    facts = {"first": done.plan.first, "sends": list(done.send_ids), "steps": _steps(done.plan)}
    return JSONResponse(facts, background=BackgroundTask(desk.ring))


def _arguments(desk: Desk, order: Order) -> tuple[Transport, Sequence[str], Sequence[Finding], publishing.Request]:
    gate = desk.settings.transport == "ses" if order.gate is None else order.gate
    if unknown := [name for name in order.allow if name not in ALLOWED]:
        raise BadInput(f"{unknown[0][:50]!r} is not part of the preflight: use one of {', '.join(ALLOWED)}.")
    findings = [Finding(**told.model_dump()) for told in order.findings]
    return make_transport(desk.settings), order.editions, findings, publishing.Request(order.issue, order.allow, gate)


def _steps(plan: Plan) -> list[dict[str, Any]]:
    return [_step(step) for step in plan.of(Action.SEND, Action.UPDATE, Action.CANCEL)]


def _step(step: Step) -> dict[str, Any]:
    return {
        "issue": step.key,
        "action": str(step.action),
        "why": step.why,
        "subject": step.edition.subject if step.edition else None,
        "readers": step.size,
        "due_at": step.due_at.isoformat() if step.due_at else None,
        "paths": list(step.edition.paths) if step.edition else [],
    }
