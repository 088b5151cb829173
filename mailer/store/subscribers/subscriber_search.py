"""Readers as others see them: a subscriber with what is known from consents and suppressions. Read only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Reader:
    """A subscriber; ``source`` is how they first came, ``suppressed`` the reason why their address is not mailed, or ''."""

    id: int
    email: str
    state: str
    tags: list[str]
    created_at: datetime
    confirmed_at: datetime | None
    left_at: datetime | None
    source: str
    suppressed: str

    @property
    def since(self) -> datetime:
        """When they came into their state."""
        moments = {"active": self.confirmed_at, "left": self.left_at}
        return moments.get(self.state) or self.created_at


_READER = """
    SELECT
        subscribers.id, subscribers.email, subscribers.state, subscribers.tags, subscribers.created_at,
        subscribers.confirmed_at, subscribers.left_at,
        coalesce((
            SELECT consents.source FROM consents
            WHERE consents.subscriber_id = subscribers.id
            ORDER BY consents.id LIMIT 1
        ), '') AS source,
        coalesce(suppressions.reason, '') AS suppressed
    FROM subscribers
    LEFT JOIN suppressions ON suppressions.email_normal = subscribers.email_normal
"""


def page(tx: Tx, limit: int, offset: int) -> list[Reader]:
    """Some readers, the newest first."""
    rows = tx.all(
        f"{_READER} WHERE subscribers.erased_at IS NULL ORDER BY subscribers.id DESC LIMIT %(limit)s OFFSET %(offset)s",
        limit=limit,
        offset=offset,
    )
    return each(rows, Reader)


def count(tx: Tx) -> int:
    """How many readers there are, in any state."""
    return int(tx.value("SELECT count(*) FROM subscribers WHERE erased_at IS NULL"))


def by_id(tx: Tx, subscriber_id: int) -> Reader | None:
    """One reader, or None."""
    row = tx.one(f"{_READER} WHERE subscribers.id = %(id)s AND subscribers.erased_at IS NULL", id=subscriber_id)
    return Reader(**row) if row else None


def by_email(tx: Tx, email_normal: str) -> Reader | None:
    """The reader with this address, or None."""
    row = tx.one(f"{_READER} WHERE subscribers.email_normal = %(email_normal)s", email_normal=email_normal)
    return Reader(**row) if row else None
