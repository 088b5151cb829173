"""Test emails, outside of every send: of an uploaded edition (our addition), or of an email, which is Buttondown's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import AppContext, Context
from api.v1.common import schemas
from api.v1.common.authentication import is_blind
from api.v1.common.errors import ApiError, raise_not_found
from mailer import transports
from mailer.core import public_ids
from mailer.flows.publishing import remote_publish
from mailer.flows.sending import issue_overview
from mailer.flows.sending.issue_overview import IssueOverview
from mailer.flows.subscribers import subscriber_admin
from mailer.flows.transactional import test_emails
from mailer.flows.transactional.test_emails import TestText

router = APIRouter()

MAX_TEST_RECIPIENTS = 20
Recipients = Annotated[list[Annotated[str, Field(max_length=254)]], Field(max_length=MAX_TEST_RECIPIENTS)]


class TestEmailInput(BaseModel):
    """Which text to send: an uploaded edition, by its digest, and a variant's name (empty: the free text).

    ``to`` names the addresses; without it, the server's reviewers get it. ``once``: unless a reviewer was sent this
    text before.
    """

    model_config = ConfigDict(extra="forbid")

    edition: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    variant: Annotated[str, Field(max_length=60)] = ""
    to: Recipients = []
    once: bool = False


class TestEmailResult(BaseModel):
    """The digest of the text that was sent, and to how many."""

    issue: str
    variant: str
    digest: str
    sent: int


class SendDraftInput(BaseModel):
    """Addresses and ids of subscribers that get the email; without any, the server's reviewers."""

    model_config = ConfigDict(extra="forbid")

    recipients: Recipients | None = None
    subscribers: Recipients | None = None


@router.post("/test_emails", response_model=TestEmailResult, responses=schemas.error_responses(409), tags=["Publish"])
def send_test_emails(context: Context, payload: TestEmailInput) -> JSONResponse:
    """Send test emails.

    Sends the very email to `POSTMERGE_REVIEWERS`, or to addresses that have confirmed that they want test emails. Not part of
    Buttondown's API.
    """
    text = test_emails.choose_text(remote_publish.load_edition(context.database, payload.edition), payload.variant)
    return _send(context, text, payload.to, payload.once)


@router.post(
    "/emails/{id}/send-draft", response_model=TestEmailResult, responses=schemas.error_responses(404, 409), tags=["Emails"]
)
def send_draft(context: Context, request: Request, id: str, payload: SendDraftInput | None = None) -> JSONResponse:
    """Send a draft.

    Sends the email as a test, as `postmerge test` does: to `POSTMERGE_REVIEWERS`, or to addresses that have confirmed that
    they want test emails. It is the text that was uploaded last: the check of a draft's pull request uploads it (`postmerge
    plan --server`), and without an upload since the last change the answer is 409. A key with the scope review can name no
    subscribers.
    """
    email = issue_overview.find_issue(context.database, id) or raise_not_found("email")
    payload = payload or SendDraftInput()
    to = [*(payload.recipients or ()), *_list_addresses(context, request, payload.subscribers or ())]
    return _send(context, _choose_newest_text(context, email), to)


def _send(context: AppContext, text: TestText, to: list[str], once: bool = False) -> JSONResponse:
    transport = transports.make_transport(context.settings)
    sent = test_emails.send_test_emails(context.database, context.settings, transport, context.site_name, text, to, once)
    return JSONResponse({"issue": text.issue_key, "variant": text.variant, "digest": text.digest, "sent": sent})


def _choose_newest_text(context: AppContext, email: IssueOverview) -> TestText:
    """The text that was uploaded last, or else that of the last send. Raises ApiError 409 when neither is up to date."""
    published = issue_overview.list_editions(context.database, email)
    is_draft = email.status == "draft"
    since = published[-1].created_at if published else email.row.last_seen_at if is_draft else datetime.min.replace(tzinfo=UTC)
    uploaded = remote_publish.find_edition(context.database, email.row.key, since)
    if uploaded:
        return test_emails.choose_text(uploaded, "")
    if email.row.send_id:
        return test_emails.load_sent_text(context.database, email.row.send_id)
    sentence = "The server has not got this email as it is now: run `postmerge plan --server` on its branch, then try again."
    raise ApiError(409, "conflict", sentence)


def _list_addresses(context: AppContext, request: Request, ids: list[str] | tuple[str, ...]) -> list[str]:
    if ids and is_blind(request):
        raise ApiError(403, "forbidden", "A key with the scope review cannot name subscribers: use recipients.")
    numbers = [public_ids.number("sub", one) for one in ids]
    found = subscriber_admin.find_subscribers(context.database, {number for number in numbers if number is not None})
    if any(number not in found for number in numbers):
        raise ApiError(400, "invalid_input", "One of these subscribers does not exist: check their ids.")
    return [found[number].email for number in numbers if number is not None]
