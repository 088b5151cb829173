"""Visits to an email's hidden link: by a link scanner, as no person sees it."""

from __future__ import annotations

from mailer.core.db import Tx


def add(tx: Tx, subscriber_id: int, send_id: int = 0, email_id: int = 0) -> None:
    """Record the first visit of an email: an issue's (``send_id``) or a transactional one (``email_id``)."""
    tx.run(
        """
        INSERT INTO scanner_visits (subscriber_id, send_id, email_id)
        SELECT id, %(send_id)s, %(email_id)s FROM subscribers WHERE id = %(subscriber_id)s
        ON CONFLICT DO NOTHING
        """,
        subscriber_id=subscriber_id,
        send_id=send_id,
        email_id=email_id,
    )
