"""Events of Stripe: taken fast and once, worked on later by fetching again what they are about."""

from __future__ import annotations

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError, Refused
from mailer.core.settings import Settings
from mailer.flows.billing import gifts
from mailer.flows.billing.stripe_client import line
from mailer.flows.billing.stripe_sync import check_customer, refresh, refresh_charge
from mailer.payments import webhook
from mailer.payments.client import Gone, Stripe, is_live
from mailer.store.billing import stripe_events
from mailer.store.billing.stripe_events import Open

events = log.get("stripe")

_GROUP = 20


def take(database: Database, settings: Settings, header: str, body: bytes) -> str:
    """Verify and store an event; one sentence for the answer.

    Raises Refused when its signature does not hold or it is of another account or mode, BadInput when it is none.
    """
    event = webhook.read(settings.stripe_webhook_secret, header, body)
    with database.transaction() as tx:
        bound = stripe_events.account(tx)
        live = bound.livemode if bound else is_live(settings.stripe_key)
        if event.livemode != live:
            mode, other = ("live", "test") if event.livemode else ("test", "live")
            raise Refused(f"This is an event of Stripe's {mode} mode and this database belongs to its {other} mode.")
        if event.account and (bound is None or event.account != bound.account_id):
            raise Refused(f"This is an event of another account ({event.account}): point its webhook elsewhere.")
        if not event.wanted or not event.object_id:
            return "Not needed."
        new = stripe_events.add(tx, event.id, event.type, event.object_id, event.created_at)
    return "Taken." if new else "Known."


def work(database: Database, settings: Settings) -> int:
    """Work on some events that are due; how many were looked at. What fails waits and is tried again, ever more seldom."""
    with database.transaction() as tx:
        taken = stripe_events.take(tx, _GROUP)
    if not taken:
        return 0
    client = line(database, settings)
    for event in taken:
        _one(database, settings, client, event)
    return len(taken)


def _one(database: Database, settings: Settings, client: Stripe, event: Open) -> None:
    detail, finished = "", True
    try:
        _look(database, settings, client, event)
    except Gone as error:
        detail = str(error)
    except BadInput as error:
        detail = str(error)
        events.error("stripe.event_unusable", event_id=event.id, kind=event.type, error=detail)
    except PostmergeError as error:
        detail, finished = str(error), False
        events.warning("stripe.event_waits", event_id=event.id, kind=event.type, error=detail)
    with database.transaction() as tx:
        (stripe_events.done if finished else stripe_events.wait)(tx, event.id, detail)


def _look(database: Database, settings: Settings, client: Stripe, event: Open) -> None:
    """Fetch again what the event is about. Its own content decides nothing."""
    kind, name = event.type, event.object_id
    if kind.startswith("customer.subscription."):
        refresh(database, settings, client, name)
    elif kind.startswith("checkout.session."):
        session = client.session(name)
        if session.subscription_id:
            refresh(database, settings, client, session.subscription_id)
        elif session.gift and session.paid:
            gifts.paid(database, session)
    elif kind.startswith("invoice."):
        if found := client.invoice_subscription(name):
            refresh(database, settings, client, found)
    elif kind.startswith("charge.dispute."):
        refresh_charge(database, settings, client, client.dispute_charge(name))
    elif kind == "charge.refunded":
        refresh_charge(database, settings, client, name)
    elif kind in ("customer.updated", "customer.created"):
        check_customer(database, client, name)
