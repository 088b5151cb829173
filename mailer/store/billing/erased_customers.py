"""Customers at Stripe whose reader was erased: their subscriptions end there, tried until it is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailer.core.db import Tx


@dataclass(frozen=True)
class Farewell:
    """What was begun before ``at`` must end."""

    customer_id: str
    at: datetime


def add(tx: Tx, subscriber_id: int) -> int:
    """All customers of a reader; how many."""
    return tx.run(
        """
        INSERT INTO farewells (customer_id)
        SELECT stripe_id FROM customers WHERE subscriber_id = %(id)s
        ON CONFLICT (customer_id) DO UPDATE SET at = now(), due_at = now(), done_at = NULL
        """,
        id=subscriber_id,
    )


def take(tx: Tx) -> Farewell | None:
    """One that is due; it is due again in a minute, later ever more seldom, in case this worker dies or Stripe is away."""
    row = tx.one(
        """
        UPDATE farewells
        SET due_at = now() + interval '1 minute' * least(power(2, attempts), 60), attempts = attempts + 1
        WHERE customer_id IN (
            SELECT customer_id FROM farewells
            WHERE done_at IS NULL AND due_at <= now()
            ORDER BY due_at
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING customer_id, at
        """
    )
    return Farewell(**row) if row else None


def done(tx: Tx, one: Farewell) -> None:
    """Nothing of it runs at Stripe any more; unless the reader was erased once more meanwhile."""
    tx.run(
        "UPDATE farewells SET done_at = now(), detail = '' WHERE customer_id = %(id)s AND at = %(at)s",
        id=one.customer_id,
        at=one.at,
    )


def wait(tx: Tx, one: Farewell, detail: str) -> None:
    """It could not be done just now, and why."""
    tx.run("UPDATE farewells SET detail = %(detail)s WHERE customer_id = %(id)s", id=one.customer_id, detail=detail[:500])


def has_work(tx: Tx) -> bool:
    """Is any due?"""
    return bool(tx.value("SELECT EXISTS (SELECT FROM farewells WHERE done_at IS NULL AND due_at <= now())"))
