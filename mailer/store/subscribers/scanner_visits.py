"""Mails whose hidden link was opened: by a program, as no person sees it."""

from __future__ import annotations

from mailer.core.db import Tx


def record(tx: Tx, subscriber_id: int, send_id: int = 0, mail_id: int = 0) -> None:
    """Write the first visit of a mail down; the mail is an issue's (``send_id``) or a single one (``mail_id``)."""
    tx.run(
        """
        INSERT INTO scanner_visits (subscriber_id, send_id, mail_id)
        SELECT id, %(send_id)s, %(mail_id)s FROM subscribers WHERE id = %(subscriber_id)s
        ON CONFLICT DO NOTHING
        """,
        subscriber_id=subscriber_id,
        send_id=send_id,
        mail_id=mail_id,
    )
