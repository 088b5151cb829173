"""``/v1/test_emails``: send an uploaded edition to reviewers, outside of every send. Not part of Buttondown's API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import Context
from api.v1.common import schemas
from mailer import transports
from mailer.core.errors import BadInput
from mailer.flows.publishing import remote_publish
from mailer.flows.transactional import test_emails

router = APIRouter(prefix="/test_emails", tags=["Publish"])


class TestEmailInput(BaseModel):
    """Which text to send: an uploaded edition, by its digest, and a variant's name (empty: the free text).

    ``to`` names the addresses; without it, the server's reviewers get it. ``once``: unless a reviewer was sent this
    text before.
    """

    model_config = ConfigDict(extra="forbid")

    edition: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    variant: Annotated[str, Field(max_length=60)] = ""
    to: Annotated[list[Annotated[str, Field(max_length=254)]], Field(max_length=20)] = []
    once: bool = False


class TestEmailResult(BaseModel):
    """The digest of the text that was sent, and to how many."""

    issue: str
    variant: str
    digest: str
    sent: int


@router.post("", response_model=TestEmailResult, responses=schemas.error_responses(409))
def send_test_emails(context: Context, payload: TestEmailInput) -> JSONResponse:
    """Send test emails.

    Sends the very email to `POSTMERGE_REVIEWERS`, or to addresses that have confirmed that they want test emails.
    """
    text = test_emails.choose_text(remote_publish.load_edition(context.database, payload.edition), payload.variant)
    to = list(dict.fromkeys(payload.to or context.settings.reviewers))
    if not to:
        raise BadInput("Nobody to send it to: name an address, or set POSTMERGE_REVIEWERS on the server.")
    test_emails.require_proven(context.database, context.settings, to)
    if payload.once and test_emails.was_reviewed(context.database, text.digest):
        to = []
    transport = transports.make_transport(context.settings)
    for one in to:
        test_emails.send_test_email(context.database, context.settings, transport, context.site_name, text, one, "api")
    return JSONResponse({"issue": text.issue_key, "variant": text.variant, "digest": text.digest, "sent": len(to)})
