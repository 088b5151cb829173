"""Send a subscriber's changed address to Stripe, retrying until Stripe has it. A change of address itself makes no request."""

from __future__ import annotations

import secrets

from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import PostmergeError
from mailer.core.message import mailable
from mailer.core.settings import Settings
from mailer.flows.billing.stripe_client import get_client
from mailer.payments.client import UnknownAtStripe
from mailer.store.billing import customers

logger = log.get("stripe")


def process_next(database: Database, settings: Settings) -> bool:
    """Send one address that is due; return whether there was one. Safe to repeat and to run concurrently."""
    with database.transaction() as tx:
        due = customers.claim_address(tx)
    if due is None:
        return False
    try:
        get_client(database, settings).call(
            "post",
            f"/v1/customers/{due.customer_id}",
            {"email": mailable(due.email)},
            idempotency_key=f"address-{secrets.token_hex(16)}",  # setting it twice does no harm, a stale response would
        )
    except UnknownAtStripe:
        logger.info("stripe.address_unknown_customer", customer=due.customer_id)
    except PostmergeError as error:
        logger.warning("stripe.address_postponed", customer=due.customer_id, error=str(error))
        return True
    with database.transaction() as tx:
        customers.mark_address_sent(tx, due)
    return True
