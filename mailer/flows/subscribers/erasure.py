"""Erasing a reader: everything goes but a number in the ledger and a keyed hash that nobody can turn back."""

from __future__ import annotations

import hmac

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.store.billing import erased_customers
from mailer.store.subscribers import consent_log, erasure, preferences, subscribers, suppressions

events = log.get("erase")


def address_hash(settings: Settings, email_normal: str) -> bytes:
    """The keyed hash of an address's normal form: HMAC-SHA256 with POSTMERGE_SECRET."""
    return hmac.digest(settings.need_secret().encode(), email_normal.encode(), "sha256")


def erase(database: Database, settings: Settings, subscriber_id: int) -> bool:
    """Erase a reader; whether there was one. No import brings them back; they may subscribe again by themselves.

    What they pay at Stripe is ended by the worker, as soon as Stripe answers: nothing is charged any more.
    """
    with database.transaction() as tx:
        if preferences.look(tx, subscriber_id) is None:
            return False
        reader = subscribers.lock(tx, subscriber_id)
        assert reader
        erasure.remember(tx, address_hash(settings, reader.email_normal), reader.email_normal)
        for former in {addresses.normal(before) for before in consent_log.former_addresses(tx, subscriber_id)}:
            if subscribers.find(tx, former) is None:
                erasure.remember(tx, address_hash(settings, former), former)
        erased_customers.add(tx, subscriber_id)
        erasure.wipe(tx, subscriber_id, reader.email_normal)
    events.info("subscriber.erased", subscriber=subscriber_id)
    return True


def erase_address(database: Database, settings: Settings, email: str) -> bool:
    """Erase the reader with this address; whether there was one. Raises BadInput when it is not an address."""
    with database.transaction() as tx:
        found = subscribers.find(tx, addresses.normal(addresses.check(email)))
    return bool(found) and erase(database, settings, found.id) if found else False


def forbids(tx: Tx, settings: Settings, email_normal: str) -> bool:
    """Was this address erased after it bounced or complained?"""
    return bool(erasure.reason(tx, address_hash(settings, email_normal)))


def may_be_mailed(tx: Tx, settings: Settings | None, email_normal: str) -> bool:
    """May this address be mailed: is it not suppressed, and was it not when it was erased? Without settings only the first."""
    suppressed, erased = suppressions.standing(tx, email_normal, address_hash(settings, email_normal) if settings else b"")
    return not suppressed and not erased


def returned(tx: Tx, settings: Settings, email_normal: str) -> None:
    """Somebody confirmed: if they were erased once, that is over."""
    erasure.forget(tx, address_hash(settings, email_normal))
