"""Webhooks from other services: events of SES through SNS, events of Stripe."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from api.common.dependencies import Context
from mailer.core import log
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.flows.billing import stripe_event_processing
from mailer.flows.events.email_events import process_sns_message
from mailer.webhooks.sns import SnsVerifier
from mailer.webhooks.sns_fetch import fetch

router = APIRouter(include_in_schema=False)
logger = log.get("webhook")


def make_verifier(settings: Settings) -> SnsVerifier:
    """Verifies messages from SNS's own hosts about the configured topic."""
    return SnsVerifier(settings.sns_topic, fetch)


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/webhooks/ses")
def receive_ses_event(context: Context, request: Request, body: Annotated[bytes, Depends(_body)]) -> JSONResponse:
    """Process an SNS message: 200 when done, 4xx when refused, 503 when SNS must retry."""
    try:
        return _reply(process_sns_message(context.database, context.settings, request.app.state.sns, body), 200)
    except (BadInput, Refused) as error:
        logger.warning("sns.refused", reason=str(error))
        return _reply(str(error), 400 if isinstance(error, BadInput) else 403)
    except Unavailable as error:
        logger.warning("sns.waits", reason=str(error))
        return _reply("A service that is needed does not respond: please retry.", 503)


@router.post("/webhooks/stripe")
def receive_stripe_event(context: Context, request: Request, body: Annotated[bytes, Depends(_body)]) -> JSONResponse:
    """Store a Stripe event: 200 when stored, 4xx when refused, 503 when Stripe must retry."""
    try:
        header = request.headers.get("stripe-signature", "")
        answer = _reply(stripe_event_processing.store_event(context.database, context.settings, header, body), 200)
        answer.background = BackgroundTask(context.wake_payments)
        return answer
    except (BadInput, Refused) as error:
        logger.warning("stripe.refused", reason=str(error))
        return _reply(str(error), 400 if isinstance(error, BadInput) else 403)
    except Unavailable as error:
        logger.warning("stripe.waits", reason=str(error))
        return _reply("The database does not respond: please retry.", 503)


def _reply(sentence: str, status: int) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, {"Cache-Control": "no-store"})
