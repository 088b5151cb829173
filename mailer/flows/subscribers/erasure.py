"""Erase a subscriber: only the ledger's row number and a keyed, irreversible hash of the address remain."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.subscribers import inbox_limit
from mailer.store.billing import erased_customers
from mailer.store.subscribers import consent_log, erasure, preferences, subscribers, suppressions
from mailer.store.subscribers.subscribers import Subscriber
from mailer.store.subscribers.suppressions import AddressQuery, AddressStatus

logger = log.get("erase")

# A sign-up with an address that bounced is answered with a confirmation email only after this long, and confirming it lifts
# the suppression. If the email bounces too, the time begins again.
BOUNCE_BLOCKS_SIGNUP_FOR = timedelta(days=7)
# Why an address is subscribed by nobody but its owner.
ERASED, MOVED = "was erased on request", "is one that a subscriber has changed to another"


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
        erase_locked(tx, settings, subscriber)
    logger.info("subscriber.erased", subscriber=subscriber_id)
    return True


def erase_locked(tx: Tx, settings: Settings, subscriber: Subscriber) -> None:
    """Erase a locked subscriber within a transaction."""
    erasure.remember_hash(tx, hash_address(settings, subscriber.email_normal)[0], subscriber.email_normal)
    if inbox_limit.has_complained(tx, subscriber.email_normal):
        erasure.remember_hash(tx, hash_address(settings, addresses.inbox(subscriber.email_normal))[0], subscriber.email_normal)
    inbox_limit.forget(tx, subscriber.email_normal)
    for former in {addresses.normal(before) for before in consent_log.list_former_addresses(tx, subscriber.id)}:
        inbox_limit.forget(tx, former)
        if subscribers.find(tx, former) is None:
            erasure.remember_hash(tx, hash_address(settings, former)[0], former)
    erased_customers.add(tx, subscriber.id)
    erasure.wipe_personal_data(tx, subscriber.id, subscriber.email_normal)


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
    return not find_status(tx, settings, email_normal).is_blocked


def find_status(tx: Tx, settings: Settings | None, email_normal: str, subscriber_id: int = 0) -> AddressStatus:
    """Return what is known of an address, and whether it may get an email (``is_blocked``), in one statement.

    Without settings, erased addresses are not known. ``is_former`` is about others than ``subscriber_id``.
    """
    inbox = addresses.inbox(email_normal)
    query = AddressQuery(
        email_normal,
        hash_address(settings, email_normal) if settings else [],
        list_hashes(settings, email_normal) if settings else [],
        addresses.list_spellings(email_normal),
        addresses.list_domains(inbox), inbox[:1], addresses.list_ignored(inbox),
    )  # fmt: skip
    found = suppressions.find_status(tx, query, subscriber_id)
    complained = any(addresses.inbox(one) == inbox for one in found.complaints)
    return replace(found, is_blocked=found.is_blocked or complained)


def list_blocked(tx: Tx, settings: Settings | None, email_normals: Sequence[str], asked_by_owner: bool = False) -> set[str]:
    """Return those of these addresses that may get no email; see ``may_be_emailed``.

    ``asked_by_owner``: an email that asks to confirm a new sign-up, which also goes to addresses that bounced
    BOUNCE_BLOCKS_SIGNUP_FOR ago.
    """
    hashes = {email: list_hashes(settings, email) if settings else [] for email in email_normals}
    blocked = suppressions.list_blocked(tx, hashes, BOUNCE_BLOCKS_SIGNUP_FOR if asked_by_owner else None)
    return blocked | {email for email in hashes if email not in blocked and inbox_limit.has_complained(tx, email)}


def get_asking_reason(status: AddressStatus) -> str:
    """Return why an address may only be subscribed by its owner, who confirms an email; '' if anybody may vouch for it."""
    return ERASED if status.is_erased else MOVED if status.is_former else ""


def list_erased_reasons(tx: Tx, settings: Settings, email_normal: str) -> list[str]:
    """Return why an erased address, or its inbox, was suppressed."""
    return erasure.list_reasons(tx, list_hashes(settings, email_normal))


def clear_erased_reasons(tx: Tx, settings: Settings, email_normal: str, reasons: Sequence[str]) -> None:
    """Lift these suppressions of an erased address, which stays known as erased."""
    erasure.clear_reasons(tx, list_hashes(settings, email_normal), reasons)


def list_hashes(settings: Settings, email_normal: str) -> list[bytes]:
    """Return the hashes of an address, and those of its inbox, which are stored where the inbox complained."""
    inbox = addresses.inbox(email_normal)
    return [*hash_address(settings, email_normal), *(hash_address(settings, inbox) if inbox != email_normal else ())]


def forget_erasure(tx: Tx, settings: Settings, email_normal: str) -> None:
    """Delete the record of an erasure after the person has confirmed a new subscription."""
    erasure.forget_hashes(tx, hash_address(settings, email_normal))
