"""Who may read what we sell: the standing that ``flows/access`` computed, and grants (complimentary access, gifts)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Access:
    """A reader's standing. Access at a moment t: ``premium`` and ``until`` later than t (or empty)."""

    subscriber_id: int
    state: str
    premium: bool
    until: datetime | None
    epoch: int


@dataclass(frozen=True)
class Grant:
    """Access without a subscription at Stripe; ``until`` empty: without an end."""

    id: int
    kind: str
    until: datetime | None
    reason: str
    at: datetime


def get(tx: Tx, subscriber_id: int) -> Access | None:
    """A reader's standing; None: free."""
    row = tx.one(
        "SELECT subscriber_id, state, premium, until, epoch FROM accesses WHERE subscriber_id = %(id)s", id=subscriber_id
    )
    return Access(**row) if row else None


def put(tx: Tx, subscriber_id: int, state: str, premium: bool, until: datetime | None) -> None:
    """Write a standing down."""
    tx.run(
        """
        INSERT INTO accesses (subscriber_id, state, premium, until)
        VALUES (%(id)s, %(state)s, %(premium)s, %(until)s)
        ON CONFLICT (subscriber_id) DO UPDATE
        SET state = EXCLUDED.state, premium = EXCLUDED.premium, until = EXCLUDED.until, at = now()
        """,
        id=subscriber_id,
        state=state,
        premium=premium,
        until=until,
    )


def renew_links(tx: Tx, subscriber_id: int) -> None:
    """Make a reader's private links worthless; they get new ones."""
    tx.run("UPDATE accesses SET epoch = epoch + 1 WHERE subscriber_id = %(id)s", id=subscriber_id)


def lapsed(tx: Tx, limit: int = 500) -> list[int]:
    """Readers whose access ran out by the clock and whose standing does not say so yet."""
    rows = tx.all(
        "SELECT subscriber_id FROM accesses WHERE premium AND until <= now() ORDER BY until LIMIT %(limit)s", limit=limit
    )
    return [int(row["subscriber_id"]) for row in rows]


def grant(tx: Tx, subscriber_id: int, kind: str, until: datetime | None, reason: str) -> int:
    """Give access; the grant's id."""
    return int(
        tx.value(
            """
            INSERT INTO grants (subscriber_id, kind, until, reason)
            VALUES (%(subscriber_id)s, %(kind)s, %(until)s, %(reason)s)
            RETURNING id
            """,
            subscriber_id=subscriber_id,
            kind=kind,
            until=until,
            reason=reason,
        )
    )


def revoke(tx: Tx, subscriber_id: int) -> int:
    """Take complimentary access back; gifts stay. How many grants."""
    return tx.run(
        """
        UPDATE grants SET revoked_at = now()
        WHERE subscriber_id = %(id)s AND kind = 'complimentary' AND revoked_at IS NULL
        """,
        id=subscriber_id,
    )


def grants(tx: Tx, subscriber_id: int) -> list[Grant]:
    """A reader's grants that were not taken back."""
    rows = tx.all(
        "SELECT id, kind, until, reason, at FROM grants WHERE subscriber_id = %(id)s AND revoked_at IS NULL ORDER BY id",
        id=subscriber_id,
    )
    return each(rows, Grant)


def every(tx: Tx) -> list[Access]:
    """All standings that were written down."""
    return each(tx.all("SELECT subscriber_id, state, premium, until, epoch FROM accesses ORDER BY subscriber_id"), Access)
