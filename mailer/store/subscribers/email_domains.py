"""Cached DNS answers to whether domains accept email."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Tx


def get_answer(tx: Tx, domain: str, yes_holds: timedelta, no_holds: timedelta) -> bool | None:
    """Return the cached answer for this domain, or None if it has expired or there is none."""
    found = tx.value(
        """
        SELECT accepts_email FROM email_domains
        WHERE domain = %(domain)s
            AND asked_at > now() - CASE WHEN accepts_email THEN %(yes_holds)s ELSE %(no_holds)s END
        """,
        domain=domain,
        yes_holds=yes_holds,
        no_holds=no_holds,
    )
    return None if found is None else bool(found)


def save_answer(tx: Tx, domain: str, accepts_email: bool) -> None:
    """Store the current answer."""
    tx.run(
        """
        INSERT INTO email_domains (domain, accepts_email) VALUES (%(domain)s, %(accepts_email)s)
        ON CONFLICT (domain) DO UPDATE SET accepts_email = excluded.accepts_email, asked_at = now()
        """,
        domain=domain,
        accepts_email=accepts_email,
    )
