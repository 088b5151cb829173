"""Stripe customers of erased subscribers: their subscriptions are canceled there, retried until done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx
from mailer.store.billing.retried_jobs import RetriedJobs

JOBS = RetriedJobs("customer_deletions", "customer_id", "customer_id, at")


@dataclass(frozen=True)
class ErasedCustomer:
    """A customer whose subscriptions begun before ``at`` must end."""

    customer_id: str
    at: datetime


def add(tx: Tx, subscriber_id: int) -> int:
    """Add all customers of a subscriber; return how many."""
    return tx.run(
        """
        INSERT INTO customer_deletions (customer_id)
        SELECT stripe_id FROM customers WHERE subscriber_id = %(id)s
        ON CONFLICT (customer_id) DO UPDATE SET at = now(), due_at = now(), done_at = NULL
        """,
        id=subscriber_id,
    )


def claim_next(tx: Tx) -> ErasedCustomer | None:
    """Return one that is due."""
    rows = JOBS.claim(tx, 1)
    return ErasedCustomer(**rows[0]) if rows else None


def mark_done(tx: Tx, one: ErasedCustomer) -> None:
    """Mark as done, unless the subscriber was erased again meanwhile."""
    tx.run(
        "UPDATE customer_deletions SET done_at = now(), detail = '' WHERE customer_id = %(id)s AND at = %(at)s",
        id=one.customer_id,
        at=one.at,
    )
