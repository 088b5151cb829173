"""Stripe customers of erased subscribers: their subscriptions are canceled there, retried until done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx


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
    """Return one that is due. It is due again in a minute, later with increasing delays, in case the worker or Stripe
    fails.
    """
    row = tx.one(
        """
        UPDATE customer_deletions
        SET due_at = now() + interval '1 minute' * least(power(2, attempts), 60), attempts = attempts + 1
        WHERE customer_id IN (
            SELECT customer_id FROM customer_deletions
            WHERE done_at IS NULL AND due_at <= now()
            ORDER BY due_at
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING customer_id, at
        """
    )
    return ErasedCustomer(**row) if row else None


def mark_done(tx: Tx, one: ErasedCustomer) -> None:
    """Mark as done, unless the subscriber was erased again meanwhile."""
    tx.run(
        "UPDATE customer_deletions SET done_at = now(), detail = '' WHERE customer_id = %(id)s AND at = %(at)s",
        id=one.customer_id,
        at=one.at,
    )


def record_failure(tx: Tx, one: ErasedCustomer, detail: str) -> None:
    """Store why it failed this time."""
    tx.run(
        "UPDATE customer_deletions SET detail = %(detail)s WHERE customer_id = %(id)s", id=one.customer_id, detail=detail[:500]
    )


def has_work(tx: Tx) -> bool:
    """Return whether any is due."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM customer_deletions WHERE done_at IS NULL AND due_at <= now())"))
