"""Cancel the subscriptions of erased subscribers at Stripe, retrying until Stripe has confirmed it.

Erasure itself makes no request: it records the customers concerned, and the worker does the rest.
"""

from __future__ import annotations

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.settings import Settings
from mailer.flows.billing.stripe_client import get_client
from mailer.flows.billing.stripe_sync import refresh_subscription
from mailer.payments.client import Stripe, UnknownAtStripe
from mailer.store.billing import erased_customers
from mailer.store.billing.erased_customers import ErasedCustomer

logger = log.get("stripe")


def process_next(database: Database, settings: Settings) -> bool:
    """Cancel the subscriptions of one erased customer; return whether one was due. Safe to repeat and to run concurrently."""
    with database.transaction() as tx:
        one = erased_customers.claim_next(tx)
    if one is None:
        return False
    try:
        ended = _end_subscriptions(database, settings, get_client(database, settings), one)
    except PostmergeError as error:
        logger.warning("stripe.erasure_postponed", error=str(error))
        with database.transaction() as tx:
            erased_customers.JOBS.record_failure(tx, one.customer_id, str(error))
        return True
    with database.transaction() as tx:
        erased_customers.mark_done(tx, one)
    logger.info("stripe.erasure_done", ended=ended)
    return True


def _end_subscriptions(database: Database, settings: Settings, client: Stripe, one: ErasedCustomer) -> int:
    """Cancel each subscription begun before the erasure; return how many. Stripe's list decides, not ours."""
    ended = 0
    for name in client.list_running(one.customer_id, one.at):
        try:
            client.call("delete", f"/v1/subscriptions/{name}", idempotency_key=f"erased-{name}")
            ended += 1
        except UnknownAtStripe:
            pass
        refresh_subscription(database, settings, client, name)
    return ended
