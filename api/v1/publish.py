"""``/v1/publish``: hand editions over and publish them, with a ``publish`` key. Ours, not the contract's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from api.desk import Here
from api.v1 import shapes
from mailer.edition import Finding
from mailer.errors import BadInput
from mailer.flows import handing
from mailer.flows import publish as publishing
from mailer.flows.guards import ALLOWED
from mailer.flows.plan import Step
from mailer.transports import make as make_transport

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


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/missing", response_model=Missing)
def missing(desk: Here, archive: Archive) -> JSONResponse:
    """Which of these editions are not here yet."""
    return JSONResponse({"missing": handing.missing(desk.database, archive.editions)})


@router.put("/editions/{digest}", status_code=204, response_class=Response)
def hand_over(desk: Here, digest: str, raw: Annotated[bytes, Depends(_body)]) -> Response:
    """Hand one edition over, as the JSON that its build wrote; `digest` is the SHA-256 of the body."""
    handing.take(desk.database, digest, raw)
    return Response(status_code=204)


@router.post("", response_model=Done, responses=shapes.errors(409))
def publish(desk: Here, order: Order) -> JSONResponse:
    """Publish: the same plan and the same guards as on the server itself; again does nothing new."""
    settings = desk.settings
    gate = settings.transport == "ses" if order.gate is None else order.gate
    if unknown := [name for name in order.allow if name not in ALLOWED]:
        raise BadInput(f"{unknown[0][:50]!r} is no guard: use one of {', '.join(ALLOWED)}.")
    done = handing.publish_handed(
        desk.database,
        settings,
        make_transport(settings),
        order.editions,
        [Finding(**told.model_dump()) for told in order.findings],
        publishing.Request(order.issue, order.allow, gate),
    )
    steps = [_step(step) for step in done.plan.steps if str(step.action) in ("send", "update", "cancel")]
    facts = {"first": done.plan.first, "sends": list(done.send_ids), "steps": steps}
    return JSONResponse(facts, background=BackgroundTask(desk.ring))


def _step(step: Step) -> dict[str, Any]:
    return {
        "issue": step.key,
        "action": str(step.action),
        "why": step.why,
        "subject": step.edition.subject if step.edition else None,
        "readers": step.size,
        "due_at": step.due_at.isoformat() if step.due_at else None,
    }
