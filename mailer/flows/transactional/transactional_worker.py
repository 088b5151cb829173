"""Deliver transactional emails (confirmations, emails about payments): claim a few, send them, record the outcome."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import jinja2

from mailer.core import addresses, i18n, log
from mailer.core.db import Database, Tx
from mailer.core.errors import Refused, Unavailable
from mailer.core.message import plain_message
from mailer.core.rate_limiter import NoRateLimit
from mailer.core.settings import Settings
from mailer.core.telemetry import work_counts
from mailer.flows.sending.delivery_worker import STATE_AFTER
from mailer.flows.sending.send_rate import SendRate
from mailer.flows.subscribers import erasure, suppression_lifting
from mailer.flows.transactional import report_emails, subscription_emails
from mailer.flows.transactional.subscription_emails import SubscriptionEmail
from mailer.store.transactional import transactional_emails
from mailer.store.transactional.transactional_emails import ClaimedEmail
from mailer.transports.base import Answer, Envelope, Outcome, SuppressionRemoval, Transport

logger = log.get("transactional")

_BATCH_SIZE = 10


def deliver_batch(
    database: Database, settings: Settings, transport: Transport, site_name: str, rate: SendRate | None = None
) -> int:
    """Send a small batch of pending emails concurrently; return how many rows were settled.

    Also 0 if the transport accepts none right now. These emails have priority: they are sent at once and bulk emails wait
    for them.
    """
    claim_id = str(uuid.uuid4())
    rate = rate or SendRate(transport, NoRateLimit())
    if rate.quota_left(urgent=True) < 1:
        logger.warning("transactional.waits_for_quota")
        return 0
    with database.transaction() as tx:
        emails, touched = transactional_emails.claim_batch(tx, claim_id, _BATCH_SIZE)
        emails = _skip_blocked(tx, settings, claim_id, emails)
    rate.take_slots(len(emails), urgent=True)
    with ThreadPoolExecutor(_BATCH_SIZE, thread_name_prefix="single") as pool:
        sent = partial(_deliver_email, database, settings, transport, site_name, claim_id)
        outcomes = list(pool.map(sent, emails))
    stuck = any(STATE_AFTER[outcome] == "pending" for outcome in outcomes)
    return 0 if stuck else touched


def _skip_blocked(tx: Tx, settings: Settings, claim_id: str, emails: list[ClaimedEmail]) -> list[ClaimedEmail]:
    """Settle emails to people who may get none as ``skipped``, whatever queued them; return the others."""
    skipped: list[ClaimedEmail] = []
    for asked_by_owner in (False, True):
        group = [email for email in emails if email.after_bounce is asked_by_owner]
        normals = sorted({addresses.normal(email.email) for email in group})
        blocked = erasure.list_blocked(tx, settings, normals, asked_by_owner) if group else set()
        skipped += [email for email in group if addresses.normal(email.email) in blocked]
    for email in skipped:
        transactional_emails.record_outcome(tx, email.id, claim_id, "skipped", "", "the address is suppressed")
        logger.warning("transactional.suppressed", email=email.id)
    return [email for email in emails if email not in skipped]


def _deliver_email(
    database: Database, settings: Settings, transport: Transport, site_name: str, claim_id: str, email: ClaimedEmail
) -> Outcome:
    answer = _send_email(settings, transport, site_name, email)
    _record_outcome(database, email, claim_id, answer)
    work_counts.count("transactional_emails", str(answer.outcome))
    log_as = logger.info if answer.outcome is Outcome.ACCEPTED else logger.warning
    log_as(f"transactional.{answer.outcome}", email=email.id, detail=answer.detail, request=email.facts.get("request"))
    return answer.outcome


def _send_email(settings: Settings, transport: Transport, site_name: str, email: ClaimedEmail) -> Answer:
    try:
        raw = build_message(settings, site_name, email)
    except Exception as error:
        logger.exception("transactional.unbuildable", email=email.id)
        return Answer(Outcome.REFUSED, detail=f"the message could not be built ({type(error).__name__})")
    if email.after_bounce and (problem := _clear_provider_list(transport, email)):
        return problem
    try:
        return transport.send(Envelope(email.email, raw, {"mail": str(email.id), "kind": email.kind}))
    except Exception as error:
        logger.exception("transactional.broken_transport", email=email.id)
        return Answer(Outcome.UNCERTAIN, detail=f"the transport failed ({type(error).__name__})")


def _clear_provider_list(transport: Transport, email: ClaimedEmail) -> Answer | None:
    """Remove an address that bounced from the provider's list, which would swallow the email; return why it cannot be sent."""
    try:
        outcome = suppression_lifting.remove_suppression(transport, email.email)
    except Unavailable as error:
        return Answer(Outcome.RETRY, detail=str(error))
    except Refused as error:
        logger.warning("transactional.provider_list_not_cleared", email=email.id, error=str(error))
        return None
    if outcome is SuppressionRemoval.COMPLAINT:
        return Answer(Outcome.REFUSED, detail="the provider has a complaint from this address")
    return None


def _record_outcome(database: Database, email: ClaimedEmail, claim_id: str, answer: Answer) -> None:
    while True:
        try:
            with database.transaction() as tx:
                transactional_emails.record_outcome(
                    tx, email.id, claim_id, STATE_AFTER[answer.outcome], answer.message_id, answer.detail[:500]
                )
            return
        except Unavailable as error:
            logger.warning("transactional.settling_postponed", email=email.id, error=str(error))
            time.sleep(1)


def build_message(settings: Settings, site_name: str, email: ClaimedEmail) -> bytes:
    """Build the message of a claimed email. Raises KeyError for an unknown kind or topic."""
    return render_subscription_email(settings, site_name, _COMPOSERS[email.kind](settings, site_name, email), email.email)


def render_subscription_email(settings: Settings, site_name: str, text: SubscriptionEmail, to: str) -> bytes:
    """Build the message of a composed email."""
    words = {"_": i18n.translator(text.lang), "dir": i18n.direction(text.lang)}
    facts = {**vars(text), **words, "site_name": site_name, "postal_address": settings.postal_address}
    return plain_message(
        to=to,
        subject=text.subject,
        html=_get_templates().get_template("subscription.html").render(facts),
        text=re.sub(r"\n{3,}", "\n\n", _get_templates().get_template("subscription.txt").render(facts)),
        sender=settings.sender,
        reply_to=settings.reply_to,
        lang=text.lang,
        headers=text.headers,
    )


_COMPOSERS = {
    "confirmation": subscription_emails.compose_email,
    "paid": subscription_emails.compose_billing_email,
    "report": report_emails.compose_report,
}


@cache
def _get_templates() -> jinja2.Environment:
    folder = Path(__file__).parent.parent.parent / "templates"
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
