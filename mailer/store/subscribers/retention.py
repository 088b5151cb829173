"""What is not kept for ever: sign-ups that nobody confirmed, and readers who left long ago."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Tx


def forget_unconfirmed(tx: Tx, age: timedelta, limit: int) -> int:
    """Delete who asked, never said yes, and asked last so long ago; how many.

    Who came by an import, once was active, or ever got an issue stays.
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
                    SELECT FROM transactional_mails AS mails WHERE mails.subscriber_id = subscribers.id AND state = 'held'
                )
            LIMIT %(limit)s
        )
        """,
        age=age,
        limit=limit,
    )


def left_long_ago(tx: Tx, age: timedelta, limit: int) -> list[int]:
    """Readers who left so long ago and are not erased yet. Who pays, or rests from it, stays: they read on the web."""
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
