"""Customers: which subscriber a Stripe customer is. The first assignment stays, even if addresses change."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx


def get_subscriber_id(tx: Tx, stripe_id: str) -> int | None:
    """Return the subscriber a customer is assigned to, or None."""
    found = tx.value("SELECT subscriber_id FROM customers WHERE stripe_id = %(id)s", id=stripe_id)
    return int(found) if found else None


def list_imported(tx: Tx) -> dict[str, int]:
    """Return subscribers by the customer's id that an imported list gave them as ``stripe_customer_id``."""
    rows = tx.all(
        """
        SELECT metadata ->> 'stripe_customer_id' AS customer, id FROM subscribers
        WHERE metadata ->> 'stripe_customer_id' <> '' AND erased_at IS NULL
        ORDER BY id DESC
        """
    )
    return {row["customer"]: row["id"] for row in rows}


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


@dataclass(frozen=True)
class DueAddress:
    """A customer whose address at Stripe is to become ``email``, their subscriber's."""

    customer_id: str
    email: str
    email_normal: str


def queue_address(tx: Tx, subscriber_id: int, former: str) -> None:
    """Queue a subscriber's new address for their customers; not for one that has an address of its own at Stripe."""
    tx.run(
        """
        UPDATE customers SET email_due_at = now(), email_attempts = 0
        WHERE subscriber_id = %(id)s AND (email_normal = %(former)s OR email_due_at IS NOT NULL)
        """,
        id=subscriber_id,
        former=former,
    )


def claim_address(tx: Tx) -> DueAddress | None:
    """Return an address that is due. It is due again in a minute, later with increasing delays, in case Stripe fails."""
    row = tx.one(
        """
        UPDATE customers
        SET email_due_at = now() + interval '1 minute' * least(power(2, email_attempts), 60),
            email_attempts = email_attempts + 1
        FROM (
            SELECT stripe_id, subscribers.email, subscribers.email_normal
            FROM customers
            JOIN subscribers ON subscribers.id = customers.subscriber_id AND subscribers.erased_at IS NULL
            WHERE email_due_at <= now()
            ORDER BY email_due_at
            LIMIT 1
            FOR UPDATE OF customers SKIP LOCKED
        ) AS due
        WHERE customers.stripe_id = due.stripe_id
        RETURNING customers.stripe_id AS customer_id, due.email, due.email_normal
        """
    )
    return DueAddress(**row) if row else None


def mark_address_sent(tx: Tx, sent: DueAddress) -> None:
    """Record the address that Stripe has now; if the subscriber's changed meanwhile, it stays due."""
    tx.run(
        """
        UPDATE customers
        SET email_normal = %(email_normal)s,
            email_due_at = CASE WHEN subscribers.email_normal <> %(email_normal)s THEN now() END
        FROM subscribers
        WHERE customers.stripe_id = %(id)s AND subscribers.id = customers.subscriber_id AND subscribers.erased_at IS NULL
        """,
        id=sent.customer_id,
        email_normal=sent.email_normal,
    )


def is_address_due(tx: Tx) -> bool:
    """Return whether any address is due."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (
                SELECT FROM customers
                JOIN subscribers ON subscribers.id = customers.subscriber_id AND subscribers.erased_at IS NULL
                WHERE email_due_at <= now()
            )
            """
        )
    )
