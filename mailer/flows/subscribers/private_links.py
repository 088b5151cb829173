"""What a private link is still worth: which address it was sent to, and whether newer links have replaced it.

A link is current while its subscriber has the same address and the same link epoch. A change of address, a refund and
``renew_links`` end all earlier ones. Only the unsubscribe link of a sent email ignores the epoch.
"""

from __future__ import annotations

from mailer.core import log
from mailer.core.db import Tx
from mailer.core.tokens import LinkClaim
from mailer.store.sending import deliveries
from mailer.store.subscribers import subscribers
from mailer.store.subscribers.subscribers import Subscriber

logger = log.get("links")


def find_owner(tx: Tx, claim: LinkClaim | None) -> Subscriber | None:
    """Return the subscriber whose current link this is; None if it has ended or was sent to another address."""
    subscriber = subscribers.get(tx, claim.subscriber_id) if claim else None
    if claim is None or subscriber is None or claim.epoch != subscriber.link_epoch:
        return None
    return subscriber if is_for_address(tx, claim, subscriber) else None


def is_for_address(tx: Tx, claim: LinkClaim, subscriber: Subscriber) -> bool:
    """Return whether a link was sent to the address that its subscriber has now.

    Unsubscribe links of the first format do not say: for those the ledger decides.
    """
    if claim.address_tag is None:
        return deliveries.was_sent_to_present_address(tx, claim.reference, subscriber.id)
    return claim.was_sent_to(subscriber.email_normal)


def end_links(tx: Tx, subscriber_id: int, epoch: int | None = None) -> bool:
    """End all private links of a subscriber. Queue emails with new ones afterwards, never before.

    With ``epoch``, only if the links of that epoch have not ended yet. Return whether they ended now.
    """
    ended = subscribers.renew_links(tx, subscriber_id, epoch)
    if ended:
        logger.info("links.ended", subscriber=subscriber_id)
    return ended
