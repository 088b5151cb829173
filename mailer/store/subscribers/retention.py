"""Retention: delete sign-ups that were never confirmed, and list subscribers who unsubscribed long ago."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Tx

# Subscribers who never confirmed, of whom nothing but requests is known: not imported, never active, never sent an issue.
_NEVER_CONFIRMED = """
    state = 'unconfirmed' AND confirmed_at IS NULL AND unsubscribed_at IS NULL
    AND EXISTS (SELECT FROM consents WHERE consents.subscriber_id = subscribers.id)
    AND NOT EXISTS (SELECT FROM consents WHERE consents.subscriber_id = subscribers.id AND kind <> 'requested')
    AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.subscriber_id = subscribers.id)
"""


def delete_unconfirmed(tx: Tx, age: timedelta, limit: int) -> int:
    """Delete subscribers who never confirmed and whose last request is older than ``age``; return how many.

    Their emails held for review are deleted with them.
    """
    return tx.run(
        f"""
        DELETE FROM subscribers WHERE id IN (
            SELECT id FROM subscribers
            WHERE {_NEVER_CONFIRMED} AND created_at < now() - %(age)s
                AND NOT EXISTS (
                    SELECT FROM consents WHERE consents.subscriber_id = subscribers.id AND at > now() - %(age)s
                )
            LIMIT %(limit)s
        )
        """,
        age=age,
        limit=limit,
    )


def delete_surplus_unconfirmed(tx: Tx, most: int, limit: int) -> int:
    """Delete the oldest subscribers who never confirmed if there are more than ``most``; return how many."""
    return tx.run(
        f"""
        DELETE FROM subscribers WHERE id IN (
            SELECT id FROM subscribers WHERE {_NEVER_CONFIRMED} ORDER BY id DESC OFFSET %(most)s LIMIT %(limit)s
        )
        """,
        most=most,
        limit=limit,
    )


def list_unsubscribed_before(tx: Tx, age: timedelta, limit: int) -> list[int]:
    """Return subscribers who unsubscribed longer ago than ``age`` and are not erased.

    Subscribers with a paid subscription, even a paused one, are left out: they read on the web.
    """
    rows = tx.all(
        """
        SELECT id FROM subscribers
        WHERE state = 'unsubscribed' AND erased_at IS NULL AND unsubscribed_at < now() - %(age)s
            AND NOT EXISTS (
                SELECT FROM entitlements
                WHERE entitlements.subscriber_id = subscribers.id AND state NOT IN ('free', 'ended')
            )
        ORDER BY unsubscribed_at
        LIMIT %(limit)s
        """,
        age=age,
        limit=limit,
    )
    return [row["id"] for row in rows]


def delete_old_journal_rows(tx: Tx, age: timedelta, limit: int) -> int:
    """Delete rows of the restore journal older than ``age``; return how many."""
    return tx.run(
        """
        DELETE FROM restore_journal
        WHERE id IN (SELECT id FROM restore_journal WHERE at < now() - %(age)s ORDER BY id LIMIT %(limit)s)
        """,
        age=age,
        limit=limit,
    )
