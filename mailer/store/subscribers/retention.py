"""Retention: delete sign-ups that were never confirmed, and list subscribers who unsubscribed long ago."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Tx


def delete_unconfirmed(tx: Tx, age: timedelta, limit: int) -> int:
    """Delete subscribers who never confirmed and whose last request is older than ``age``; return how many.

    Kept are subscribers who were imported, were ever active, or ever got an issue.
    """
    return tx.run(
        """
        DELETE FROM subscribers WHERE id IN (
            SELECT id FROM subscribers
            WHERE state = 'unconfirmed' AND confirmed_at IS NULL AND left_at IS NULL AND created_at < now() - %(age)s
                AND NOT EXISTS (
                    SELECT FROM consents
                    WHERE consents.subscriber_id = subscribers.id AND (kind <> 'requested' OR at > now() - %(age)s)
                )
                AND EXISTS (SELECT FROM consents WHERE consents.subscriber_id = subscribers.id)
                AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.subscriber_id = subscribers.id)
                AND NOT EXISTS (
                    SELECT FROM transactional_mails AS emails WHERE emails.subscriber_id = subscribers.id AND state = 'held'
                )
            LIMIT %(limit)s
        )
        """,
        age=age,
        limit=limit,
    )


def list_unsubscribed_before(tx: Tx, age: timedelta, limit: int) -> list[int]:
    """Return subscribers who unsubscribed longer ago than ``age`` and are not erased.

    Subscribers with a paid subscription, even a paused one, are left out: they read on the web.
    """
    rows = tx.all(
        """
        SELECT id FROM subscribers
        WHERE state = 'left' AND erased_at IS NULL AND left_at < now() - %(age)s
            AND NOT EXISTS (
                SELECT FROM accesses
                WHERE accesses.subscriber_id = subscribers.id AND state NOT IN ('free', 'ended')
            )
        ORDER BY left_at
        LIMIT %(limit)s
        """,
        age=age,
        limit=limit,
    )
    return [row["id"] for row in rows]
