"""Whether domains take mail, as DNS said not long ago."""

from __future__ import annotations

from datetime import timedelta

from mailer.core.db import Tx


def known(tx: Tx, domain: str, yes_holds: timedelta, no_holds: timedelta) -> bool | None:
    """What DNS said about this domain, or None when that was too long ago or never asked."""
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


def remember(tx: Tx, domain: str, takes_mail: bool) -> None:
    """Write down what DNS says now."""
    tx.run(
        """
        INSERT INTO mail_domains (domain, takes_mail) VALUES (%(domain)s, %(takes_mail)s)
        ON CONFLICT (domain) DO UPDATE SET takes_mail = excluded.takes_mail, asked_at = now()
        """,
        domain=domain,
        takes_mail=takes_mail,
    )
