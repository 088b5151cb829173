"""Cached DNS answers to whether domains accept email."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Tx


def get_answer(tx: Tx, domain: str, yes_holds: timedelta, no_holds: timedelta) -> bool | None:
    """Return the cached answer for this domain, or None if it has expired or there is none."""
    found = tx.value(
        """
        SELECT takes_mail FROM mail_domains
        WHERE domain = %(domain)s
            AND asked_at > now() - CASE WHEN takes_mail THEN %(yes_holds)s ELSE %(no_holds)s END
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
        INSERT INTO mail_domains (domain, takes_mail) VALUES (%(domain)s, %(takes_mail)s)
        ON CONFLICT (domain) DO UPDATE SET takes_mail = excluded.takes_mail, asked_at = now()
        """,
        domain=domain,
        takes_mail=accepts_email,
    )
