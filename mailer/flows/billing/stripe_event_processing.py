"""Stripe events: stored quickly and once, processed later by fetching the objects they are about."""

from __future__ import annotations

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.settings import Settings
from mailer.flows.billing import gifts
from mailer.flows.billing.stripe_client import get_client
from mailer.flows.billing.stripe_sync import check_customer, refresh_charge, refresh_subscription
from mailer.payments import webhook
from mailer.payments.client import Stripe, UnknownAtStripe, is_live_key
from mailer.store.billing import stripe_events
from mailer.store.billing.stripe_events import OpenStripeEvent

logger = log.get("stripe")

_BATCH_SIZE = 20


def store_event(database: Database, settings: Settings, header: str, body: bytes) -> str:
    """Verify and store an event; return a sentence for the response.

    Raises Refused for an invalid signature or another account or mode, BadInput if it is not an event.
    """
    event = webhook.verify_event(settings.stripe_webhook_secret, header, body)
    with database.transaction() as tx:
        bound = stripe_events.get_account(tx)
        live = bound.livemode if bound else is_live_key(settings.stripe_key)
        if event.livemode != live:
            mode, other = ("live", "test") if event.livemode else ("test", "live")
            raise Refused(f"This is an event of Stripe's {mode} mode and this database belongs to its {other} mode.")
        if event.account and (bound is None or event.account != bound.account_id):
            raise Refused(f"This is an event of another account ({event.account}): point its webhook elsewhere.")
        if not event.wanted or not event.object_id:
            return "Not needed."
        new = stripe_events.add(tx, event.id, event.type, event.object_id, event.created_at)
    return "Stored." if new else "Already known."


def process_due(database: Database, settings: Settings) -> int:
    """Process some due events; return how many. Failed ones are retried with increasing delays."""
    with database.transaction() as tx:
        taken = stripe_events.claim_due(tx, _BATCH_SIZE)
    if not taken:
        return 0
    client = get_client(database, settings)
    for event in taken:
        with log.in_request(event.request):
            _process_event(database, settings, client, event)
    return len(taken)


def _process_event(database: Database, settings: Settings, client: Stripe, event: OpenStripeEvent) -> None:
    detail, finished = "", True
    try:
        _refetch(database, settings, client, event)
    except UnknownAtStripe as error:
        detail = str(error)
    except BadInput as error:
        detail = str(error)
        logger.error("stripe.event_unusable", event_id=event.id, kind=event.type, error=detail)
    except PostmergeError as error:
        detail, finished = str(error), False
        logger.warning("stripe.event_postponed", event_id=event.id, kind=event.type, error=detail)
    with database.transaction() as tx:
        (stripe_events.mark_done if finished else stripe_events.JOBS.record_failure)(tx, event.id, detail)


def _refetch(database: Database, settings: Settings, client: Stripe, event: OpenStripeEvent) -> None:
    """Fetch the object that the event is about. The event's own content decides nothing."""
    kind, name = event.type, event.object_id
    if kind.startswith("customer.subscription."):
        refresh_subscription(database, settings, client, name)
    elif kind.startswith("checkout.session."):
        session = client.get_session(name)
        if session.subscription_id:
            refresh_subscription(database, settings, client, session.subscription_id)
        elif session.gift and session.paid:
            gifts.record_paid_gift(database, session, settings)
    elif kind.startswith("invoice."):
        if found := client.get_invoice_subscription(name):
            refresh_subscription(database, settings, client, found)
    elif kind.startswith("charge.dispute."):
        refresh_charge(database, settings, client, client.get_disputed_charge(name))
    elif kind == "charge.refunded":
        refresh_charge(database, settings, client, name)
    elif kind in ("customer.updated", "customer.created"):
        check_customer(database, client, name)
