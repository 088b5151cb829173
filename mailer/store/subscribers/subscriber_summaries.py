"""Subscribers with facts from consents and suppressions, for lists. Read-only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class SubscriberSummary:
    """A subscriber; ``source`` is how they first signed up, ``suppressed`` the reason for a suppression, or ''."""

    id: int
    email: str
    state: str
    tags: list[str]
    created_at: datetime
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None
    source: str
    suppressed: str

    @property
    def since(self) -> datetime:
        """Since when they have been in their state."""
        moments = {"active": self.confirmed_at, "unsubscribed": self.unsubscribed_at}
        return moments.get(self.state) or self.created_at


_SUMMARY = """
    SELECT
        subscribers.id, subscribers.email, subscribers.state, subscribers.tags, subscribers.created_at,
        subscribers.confirmed_at, subscribers.unsubscribed_at,
        coalesce((
            SELECT consents.source FROM consents
            WHERE consents.subscriber_id = subscribers.id
            ORDER BY consents.id LIMIT 1
        ), '') AS source,
        coalesce(suppressions.reason, '') AS suppressed
    FROM subscribers
    LEFT JOIN suppressions ON suppressions.email_normal = subscribers.email_normal
"""


def list_page(tx: Tx, limit: int, offset: int) -> list[SubscriberSummary]:
    """Return a page of subscribers, newest first."""
    rows = tx.all(
        f"{_SUMMARY} WHERE subscribers.erased_at IS NULL ORDER BY subscribers.id DESC LIMIT %(limit)s OFFSET %(offset)s",
        limit=limit,
        offset=offset,
    )
    return each(rows, SubscriberSummary)


def count(tx: Tx) -> int:
    """Return the number of subscribers, in any state."""
    return int(tx.value("SELECT count(*) FROM subscribers WHERE erased_at IS NULL"))


def by_id(tx: Tx, subscriber_id: int) -> SubscriberSummary | None:
    """Return one subscriber, or None."""
    row = tx.one(f"{_SUMMARY} WHERE subscribers.id = %(id)s AND subscribers.erased_at IS NULL", id=subscriber_id)
    return SubscriberSummary(**row) if row else None


def by_email(tx: Tx, email_normal: str) -> SubscriberSummary | None:
    """Return the subscriber with this address, or None."""
    row = tx.one(f"{_SUMMARY} WHERE subscribers.email_normal = %(email_normal)s", email_normal=email_normal)
    return SubscriberSummary(**row) if row else None
