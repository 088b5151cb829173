"""Stored entitlements, as computed by ``flows/billing/entitlements``, and grants (complimentary access, gifts)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class StoredEntitlement:
    """A subscriber's entitlement, in effect at a moment t if ``premium`` is true and ``until`` is later than t (or None)."""

    subscriber_id: int
    state: str
    premium: bool
    until: datetime | None


@dataclass(frozen=True)
class EntitlementGrant:
    """An entitlement without a subscription at Stripe; ``until`` None: indefinitely."""

    id: int
    kind: str
    until: datetime | None
    reason: str
    at: datetime


def get(tx: Tx, subscriber_id: int) -> StoredEntitlement | None:
    """Return a subscriber's entitlement; None: free."""
    row = tx.one("SELECT subscriber_id, state, premium, until FROM entitlements WHERE subscriber_id = %(id)s", id=subscriber_id)
    return StoredEntitlement(**row) if row else None


def save(tx: Tx, subscriber_id: int, state: str, premium: bool, until: datetime | None) -> None:
    """Store an entitlement."""
    tx.run(
        """
        INSERT INTO entitlements (subscriber_id, state, premium, until)
        VALUES (%(id)s, %(state)s, %(premium)s, %(until)s)
        ON CONFLICT (subscriber_id) DO UPDATE
        SET state = EXCLUDED.state, premium = EXCLUDED.premium, until = EXCLUDED.until, at = now()
        """,
        id=subscriber_id,
        state=state,
        premium=premium,
        until=until,
    )


def list_lapsed(tx: Tx, limit: int = 500) -> list[int]:
    """Return subscribers whose entitlement has expired and was not recomputed yet."""
    rows = tx.all(
        "SELECT subscriber_id FROM entitlements WHERE premium AND until <= now() ORDER BY until LIMIT %(limit)s", limit=limit
    )
    return [int(row["subscriber_id"]) for row in rows]


def add_grant(tx: Tx, subscriber_id: int, kind: str, until: datetime | None, reason: str) -> int:
    """Grant an entitlement; return the grant's id."""
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


def revoke_complimentary(tx: Tx, subscriber_id: int) -> int:
    """Revoke complimentary access; gifts are unaffected. Return how many grants."""
    return tx.run(
        """
        UPDATE grants SET revoked_at = now()
        WHERE subscriber_id = %(id)s AND kind = 'complimentary' AND revoked_at IS NULL
        """,
        id=subscriber_id,
    )


def list_grants(tx: Tx, subscriber_id: int) -> list[EntitlementGrant]:
    """Return a subscriber's grants that were not revoked."""
    rows = tx.all(
        "SELECT id, kind, until, reason, at FROM grants WHERE subscriber_id = %(id)s AND revoked_at IS NULL ORDER BY id",
        id=subscriber_id,
    )
    return each(rows, EntitlementGrant)


def list_all(tx: Tx) -> list[StoredEntitlement]:
    """Return all stored entitlements."""
    return each(
        tx.all("SELECT subscriber_id, state, premium, until FROM entitlements ORDER BY subscriber_id"), StoredEntitlement
    )
