"""Erase a subscriber: only the ledger's row number and a keyed, irreversible hash of the address remain."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.subscribers import inbox_limit
from mailer.store.billing import erased_customers
from mailer.store.subscribers import consent_log, erasure, preferences, subscribers, suppressions

logger = log.get("erase")


def hash_address(settings: Settings, email_normal: str) -> list[bytes]:
    """Return the keyed hashes of a normalized address: HMAC-SHA256 with each value of POSTMERGE_SECRET, the newest first.

    The first is stored; look-ups use all of them, so that a new secret forgets nobody.
    """
    return [hmac.digest(secret.encode(), email_normal.encode(), "sha256") for secret in settings.need_secrets()]


def erase_subscriber(database: Database, settings: Settings, subscriber_id: int) -> bool:
    """Erase a subscriber; return whether there was one.

    No import can add them again, but they may subscribe again themselves. The worker ends their subscriptions at Stripe as
    soon as Stripe responds: nothing more is charged.
    """
    with database.transaction() as tx:
        if preferences.get(tx, subscriber_id) is None:
            return False
        subscriber = subscribers.lock(tx, subscriber_id)
        assert subscriber
        erasure.remember_hash(tx, hash_address(settings, subscriber.email_normal)[0], subscriber.email_normal)
        if inbox_limit.has_complained(tx, subscriber.email_normal):
            erasure.remember_hash(
                tx, hash_address(settings, addresses.inbox(subscriber.email_normal))[0], subscriber.email_normal
            )
        inbox_limit.forget(tx, subscriber.email_normal)
        for former in {addresses.normal(before) for before in consent_log.list_former_addresses(tx, subscriber_id)}:
            inbox_limit.forget(tx, former)
            if subscribers.find(tx, former) is None:
                erasure.remember_hash(tx, hash_address(settings, former)[0], former)
        erased_customers.add(tx, subscriber_id)
        erasure.wipe_personal_data(tx, subscriber_id, subscriber.email_normal)
    logger.info("subscriber.erased", subscriber=subscriber_id)
    return True


def erase_by_email(database: Database, settings: Settings, email: str) -> bool:
    """Erase the subscriber with this address; return whether there was one. Raises BadInput if it is not an address."""
    with database.transaction() as tx:
        found = subscribers.find(tx, addresses.normal(addresses.check(email)))
    return bool(found) and erase_subscriber(database, settings, found.id) if found else False


def may_be_emailed(tx: Tx, settings: Settings | None, email_normal: str) -> bool:
    """Return whether a person may get any email: the one decision for all of them, at the request and again before it is sent.

    Not suppressed, not when it was erased, and no complaint from its inbox in any spelling. Without settings, erased addresses
    are not checked; transactional emails are checked with settings before they are sent.
    """
    return not list_blocked(tx, settings, [email_normal])


def list_blocked(tx: Tx, settings: Settings | None, email_normals: Sequence[str]) -> set[str]:
    """Return those of these addresses that may get no email; see ``may_be_emailed``."""
    hashes = {email: _list_hashes(settings, email) if settings else [] for email in email_normals}
    blocked = suppressions.list_blocked(tx, hashes)
    return blocked | {email for email in hashes if email not in blocked and inbox_limit.has_complained(tx, email)}


def _list_hashes(settings: Settings, email_normal: str) -> list[bytes]:
    return [*hash_address(settings, email_normal), *hash_address(settings, addresses.inbox(email_normal))]


def forget_erasure(tx: Tx, settings: Settings, email_normal: str) -> None:
    """Delete the record of an erasure after the person has confirmed a new subscription."""
    erasure.forget_hashes(tx, hash_address(settings, email_normal))
