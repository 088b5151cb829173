"""Customers: which reader a customer at Stripe is. The first answer stays, whatever becomes of addresses."""

from __future__ import annotations

from mailer.core.db import Tx


def reader(tx: Tx, stripe_id: str) -> int | None:
    """The reader a customer was given to, or None."""
    found = tx.value("SELECT subscriber_id FROM customers WHERE stripe_id = %(id)s", id=stripe_id)
    return int(found) if found else None


def give(tx: Tx, stripe_id: str, subscriber_id: int, email_normal: str) -> int:
    """Give a customer to a reader unless it has one; the reader it now has."""
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


def part(tx: Tx, stripe_id: str) -> None:
    """Its reader was erased and has come back as somebody new: it may be given again."""
    tx.run("UPDATE customers SET subscriber_id = NULL, at = now() WHERE stripe_id = %(id)s", id=stripe_id)


def of_reader(tx: Tx, subscriber_id: int) -> str:
    """A reader's customer at Stripe, the newest; empty when there is none."""
    found = tx.value(
        "SELECT stripe_id FROM customers WHERE subscriber_id = %(id)s ORDER BY at DESC, stripe_id DESC LIMIT 1",
        id=subscriber_id,
    )
    return str(found or "")


def address(tx: Tx, stripe_id: str) -> str:
    """The address a customer had when we last looked."""
    return str(tx.value("SELECT email_normal FROM customers WHERE stripe_id = %(id)s", id=stripe_id) or "")


def move(tx: Tx, stripe_id: str, email_normal: str) -> None:
    """Its address at Stripe is another now."""
    tx.run(
        "UPDATE customers SET email_normal = %(email_normal)s WHERE stripe_id = %(id)s",
        id=stripe_id,
        email_normal=email_normal,
    )
