"""Erased readers are not charged again: their subscriptions at Stripe end, tried until Stripe has said so.

The erasing itself asks nobody: it writes down which customers it concerns, and the worker does the rest.
"""

from __future__ import annotations

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.billing.stripe_client import line
from mailer.flows.billing.stripe_sync import refresh
from mailer.payments.client import Gone, Stripe
from mailer.store.billing import erased_customers
from mailer.store.billing.erased_customers import Farewell

events = log.get("stripe")


def work(database: Database, settings: Settings) -> bool:
    """End what runs of one erased reader's customer; whether one was due. Safe to run twice and at once."""
    with database.transaction() as tx:
        one = erased_customers.take(tx)
    if one is None:
        return False
    try:
        ended = _end(database, settings, line(database, settings), one)
    except PostmergeError as error:
        events.warning("stripe.farewell_waits", error=str(error))
        with database.transaction() as tx:
            erased_customers.wait(tx, one, str(error))
        return True
    with database.transaction() as tx:
        erased_customers.done(tx, one)
    events.info("stripe.farewell_done", ended=ended)
    return True


def _end(database: Database, settings: Settings, client: Stripe, one: Farewell) -> int:
    """End each subscription that was begun before the erasing; how many. Stripe's own list decides, not ours."""
    ended = 0
    for name in client.running_of(one.customer_id, one.at):
        try:
            client.call("delete", f"/v1/subscriptions/{name}", once=f"erased-{name}")
            ended += 1
        except Gone:
            pass
        refresh(database, settings, client, name)
    return ended
