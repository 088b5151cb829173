"""One limit on the emails that strangers can cause to one inbox, whichever form, page, purchase or API call causes them.

An inbox is what the provider delivers to one mailbox: ``ada+news@…`` and, at Gmail, ``a.da@…`` are the same one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from mailer.core import addresses
from mailer.core.db import Tx
from mailer.store.subscribers import inbox_emails, subscribers, suppressions

# The maximum number of emails to one inbox in each period. Subscribers who ask for their own link wait less long for it.
INBOX_LIMITS = ((1, timedelta(minutes=10)), (3, timedelta(days=1)), (5, timedelta(days=30)))
SUBSCRIBER_LIMITS = ((3, timedelta(hours=1)), (10, timedelta(days=1)))
FULL = "too many emails to this inbox"  # why an email that was paid for is held


def use(tx: Tx, email_normal: str, subscriber: bool = False) -> bool:
    """Count an email to the address's inbox; return whether it may be sent.

    ``subscriber``: it goes to a confirmed subscriber at their own address. Locks the inbox until the transaction ends.
    """
    inbox = hash_inbox(email_normal)
    inbox_emails.lock(tx, inbox)
    return inbox_emails.add(tx, inbox, SUBSCRIBER_LIMITS if subscriber else INBOX_LIMITS)


def count(tx: Tx, email_normal: str) -> None:
    """Count an email that is sent although the inbox may be full."""
    inbox_emails.add(tx, hash_inbox(email_normal), ())


def has_complained(tx: Tx, email_normal: str) -> bool:
    """Return whether somebody complained from the address's inbox, in whatever spelling."""
    return bool(list_complaining_spellings(tx, email_normal))


def list_complaining_spellings(tx: Tx, email_normal: str) -> list[str]:
    """Return the addresses of the same inbox that complained."""
    inbox = addresses.inbox(email_normal)
    found = suppressions.list_complaints(tx, addresses.list_domains(inbox), inbox[:1], addresses.list_ignored(inbox))
    return [one for one in found if addresses.inbox(one) == inbox]


def list_spellings(tx: Tx, email_normals: Iterable[str]) -> list[str]:
    """Return the addresses of subscribers that lead to the same inboxes as these."""
    wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for inbox in {addresses.inbox(one) for one in email_normals}:
        name = inbox.rpartition("@")[0]
        wanted[addresses.list_ignored(inbox)] += [(name, domain) for domain in addresses.list_domains(inbox)]
    return [one for ignored, inboxes in wanted.items() for one in subscribers.list_by_inbox(tx, inboxes, ignored)]


def suppress_spellings(tx: Tx, email_normals: Sequence[str]) -> int:
    """Suppress these addresses of people who complained, and subscribers' other spellings; return how many are new."""
    whole = sorted({*email_normals, *list_spellings(tx, email_normals)})
    return suppressions.add(tx, whole, "complaint") if whole else 0


def list_complaining(tx: Tx) -> set[str]:
    """Return every inbox that somebody complained from."""
    return {addresses.inbox(one) for one in suppressions.list_all_complaints(tx)}


def forget(tx: Tx, email_normal: str) -> None:
    """Delete what the limit stores about an erased address."""
    inbox_emails.forget(tx, hash_inbox(email_normal))


def hash_inbox(email_normal: str) -> bytes:
    """Return the SHA-256 of the address's inbox."""
    return hashlib.sha256(addresses.inbox(email_normal).encode()).digest()
