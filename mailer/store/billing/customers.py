"""Customers: which subscriber a Stripe customer is. The first assignment stays, even if addresses change."""

from __future__ import annotations

from mailer.core.db import Tx


def get_subscriber_id(tx: Tx, stripe_id: str) -> int | None:
    """Return the subscriber a customer is assigned to, or None."""
    found = tx.value("SELECT subscriber_id FROM customers WHERE stripe_id = %(id)s", id=stripe_id)
    return int(found) if found else None


def assign(tx: Tx, stripe_id: str, subscriber_id: int, email_normal: str) -> int:
    """Assign a customer to a subscriber unless it has one; return its subscriber."""
    return int(
        tx.value(
            """
            INSERT INTO customers (stripe_id, subscriber_id, email_normal)
            VALUES (%(id)s, %(subscriber_id)s, %(email_normal)s)
            ON CONFLICT (stripe_id) DO UPDATE
            SET subscriber_id = coalesce(customers.subscriber_id, EXCLUDED.subscriber_id)
            RETURNING subscriber_id
            """,
            id=stripe_id,
            subscriber_id=subscriber_id,
            email_normal=email_normal,
        )
    )


def unassign(tx: Tx, stripe_id: str) -> None:
    """Release a customer whose subscriber was erased and has signed up again: it may be assigned again."""
    tx.run("UPDATE customers SET subscriber_id = NULL, at = now() WHERE stripe_id = %(id)s", id=stripe_id)


def find_by_subscriber(tx: Tx, subscriber_id: int) -> str:
    """Return a subscriber's latest customer at Stripe; empty if there is none."""
    found = tx.value(
        "SELECT stripe_id FROM customers WHERE subscriber_id = %(id)s ORDER BY at DESC, stripe_id DESC LIMIT 1",
        id=subscriber_id,
    )
    return str(found or "")


def get_email(tx: Tx, stripe_id: str) -> str:
    """Return the address a customer had when last fetched."""
    return str(tx.value("SELECT email_normal FROM customers WHERE stripe_id = %(id)s", id=stripe_id) or "")


def set_email(tx: Tx, stripe_id: str, email_normal: str) -> None:
    """Store a customer's new address."""
    tx.run(
        "UPDATE customers SET email_normal = %(email_normal)s WHERE stripe_id = %(id)s",
        id=stripe_id,
        email_normal=email_normal,
    )
