"""``/v1/publish``: upload editions and publish them, with a ``publish`` key. Not part of Buttondown's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from api.common.dependencies import AppContext, Context
from api.v1.common import review_counts, schemas
from api.v1.common.authentication import is_blind
from mailer import transports
from mailer.core.edition import Finding
from mailer.core.errors import BadInput
from mailer.flows.publishing import publish, remote_publish
from mailer.flows.publishing.preflight import ALLOWED
from mailer.flows.publishing.publish_plan import Action, Plan, Step
from mailer.flows.publishing.sequence_plan import change_facts, show_exactly
from mailer.transports.base import Transport

router = APIRouter(prefix="/publish", tags=["Publish"])

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digests = Annotated[list[Digest], Field(max_length=20_000)]


class ArchiveDigests(BaseModel):
    """The digests of all editions of the archive."""

    model_config = ConfigDict(extra="forbid")

    editions: Digests


class BuildFindingInput(BaseModel):
    """A finding of the build."""

    level: Literal["error", "warning"]
    path: Annotated[str, Field(max_length=1000)]
    line: int
    message: Annotated[str, Field(max_length=2000)]
    issue: Annotated[str, Field(max_length=1000)] = ""
    asks: int = 0


class PublishInput(ArchiveDigests):
    """What to publish. If ``gate`` is null, the server's transport decides whether a page must be live first.

    ``commit`` is the git commit that was built, for the receipts.
    """

    findings: Annotated[list[BuildFindingInput], Field(max_length=5000)] = []
    issue: Annotated[str, Field(max_length=500)] = ""
    allow: Annotated[list[str], Field(max_length=20)] = []
    gate: bool | None = None
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64}|)$")] = ""


class MissingEditions(BaseModel):
    """The digests of editions to upload."""

    missing: list[str]


class PublishResult(BaseModel):
    """What publishing did. It does nothing new when repeated."""

    first: bool
    sends: list[int]
    steps: list[dict[str, Any]]
    sequences: list[dict[str, Any]] = []


class PublishOutlook(BaseModel):
    """What publishing would do; `refusals` are the reasons why it would refuse."""

    first: bool
    steps: list[dict[str, Any]]
    sequences: list[dict[str, Any]] = []
    refusals: list[dict[str, Any]]


_EDITION_BODY = {"required": True, "content": {"application/json": {"schema": {"type": "object", "title": "Edition"}}}}


async def read_body(request: Request) -> bytes:
    """The body as it is."""
    return await request.body()


@router.post("/missing", response_model=MissingEditions)
def list_missing_editions(context: Context, payload: ArchiveDigests) -> JSONResponse:
    """List missing editions.

    Returns the digests that the server does not have yet: upload those editions first.
    """
    return JSONResponse({"missing": remote_publish.list_missing(context.database, payload.editions)})


@router.put("/editions/{digest}", status_code=204, response_class=Response, openapi_extra={"requestBody": _EDITION_BODY})
def upload_edition(context: Context, digest: Digest, raw: Annotated[bytes, Depends(read_body)]) -> Response:
    """Upload an edition.

    The body is the JSON that the build wrote; `digest` is its SHA-256.
    """
    remote_publish.store_edition(context.database, digest, raw)
    return Response(status_code=204)


@router.post("/plan", response_model=PublishOutlook, responses=schemas.error_responses(409))
def plan_publish(context: Context, request: Request, payload: PublishInput) -> JSONResponse:
    """Plan a publish.

    Returns what publishing would do, and the reasons why it would refuse. Changes nothing. A key with the scope `publish` gets
    neither counts of subscribers nor reasons that depend on them; one with the scope `review` gets rounded counts, for audience
    rules of published issues only.
    """
    blind = is_blind(request)
    outlook = remote_publish.preview_uploaded(context.database, context.settings, *_arguments(context, payload, blind))
    told = [one for one in outlook.refusals if not (blind and one.about_subscribers)]
    refusals = [{"check": one.name, "sentence": one.sentence} for one in told]
    return JSONResponse({**_as_facts(context, request, outlook.plan), "refusals": refusals})


@router.post("", response_model=PublishResult, responses=schemas.error_responses(409))
def publish_archive(context: Context, request: Request, payload: PublishInput) -> JSONResponse:
    """Publish the archive.

    Runs the same preflight as `postmerge publish` on the server. Safe to repeat: nothing is sent twice. For a key with the
    scope `publish`, a check that depends on subscribers pauses the send and notifies the operator, in place of a refusal.
    """
    blind = is_blind(request)
    done = remote_publish.publish_uploaded(context.database, context.settings, *_arguments(context, payload, blind))
    facts = {**_as_facts(context, request, done.plan), "sends": list(done.send_ids)}
    return JSONResponse(facts, background=BackgroundTask(context.wake_transactional))


def _arguments(
    context: AppContext, payload: PublishInput, blind: bool
) -> tuple[Transport, Sequence[str], Sequence[Finding], publish.Request]:
    gate = context.settings.transport != "outbox" if payload.gate is None else payload.gate
    if unknown := [name for name in payload.allow if name not in ALLOWED]:
        raise BadInput(f"{unknown[0][:50]!r} is not a check of the preflight: use one of {', '.join(ALLOWED)}.")
    if gate and not context.settings.site_url:
        raise BadInput("The server has no POSTMERGE_SITE_URL, so it cannot check that pages are live: set it there.")
    findings = [Finding(**finding.model_dump()) for finding in payload.findings]
    return (
        transports.make_transport(context.settings),
        payload.editions,
        findings,
        publish.Request(payload.issue, payload.allow, gate, blind, payload.commit),
    )


def _as_facts(context: AppContext, request: Request, plan: Plan) -> dict[str, Any]:
    show = review_counts.hide_number if is_blind(request) else show_exactly
    show = review_counts.round_number if request.state.key.scope == "review" else show
    sequences = [change_facts(change, show) for change in plan.sequences if change.changed]
    return {"first": plan.first, "steps": _as_steps(context, request, plan), "sequences": sequences}


def _as_steps(context: AppContext, request: Request, plan_publish: Plan) -> list[dict[str, Any]]:
    steps = plan_publish.of(Action.SEND, Action.UPDATE, Action.CANCEL)
    if request.state.key.scope == "review":
        rules = remote_publish.list_published_rules(context.database)
        return [_as_step(step, review_counts.count_roughly(step, rules)) for step in steps]
    count = review_counts.hide_counts if is_blind(request) else review_counts.count_exactly
    return [_as_step(step, count(step)) for step in steps]


def _as_step(step: Step, counts: dict[str, Any]) -> dict[str, Any]:
    return {
        "issue": step.key,
        "action": str(step.action),
        "why": step.why,
        "subject": step.edition.subject if step.edition else None,
        **counts,
        "due_at": step.due_at.isoformat() if step.due_at else None,
        "scheduled": step.scheduled,
        "paths": list(step.edition.paths) if step.edition else [step.was_at],
    }
