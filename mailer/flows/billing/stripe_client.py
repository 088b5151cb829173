"""The Stripe client with its safeguards: test and live keys, databases and events are never mixed."""

from __future__ import annotations

from functools import lru_cache

from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.payments.client import Stripe
from mailer.store.billing import stripe_events

_MODES = {True: "live", False: "test"}


def get_client(database: Database, settings: Settings) -> Stripe:
    """Return the client for this database. Raises BadInput without a key, Refused if key and database do not match."""
    client = get_unbound_client(settings)
    with database.transaction() as tx:
        bound = stripe_events.get_account(tx)
    if bound and bound.livemode != client.live:
        raise Refused(
            f"STRIPE_SECRET_KEY is a {_MODES[client.live]} key and this database belongs to Stripe's {_MODES[bound.livemode]}"
            " mode: use the key of that mode, or another database."
        )
    return client


def get_unbound_client(settings: Settings) -> Stripe:
    """Return the client, whatever the database. Raises BadInput without a key, Refused for a live key in development."""
    if not settings.stripe_key:
        raise BadInput(
            "STRIPE_SECRET_KEY is not set, so nothing is sold: to try it, copy a test key from the Stripe dashboard."
        )
    client = _build_client(settings.stripe_key, settings.stripe_base)
    if client.live and settings.transport == "outbox":
        raise Refused(
            "STRIPE_SECRET_KEY is a live key and POSTMERGE_TRANSPORT=outbox means development: use a test key here (sk_test_…)."
        )
    return client


@lru_cache(maxsize=4)
def _build_client(key: str, base: str) -> Stripe:
    return Stripe(key, base)
