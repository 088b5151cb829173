"""Suppressions: addresses that must not be mailed, whoever asks."""

from __future__ import annotations

from mailer.db import Tx


def add(tx: Tx, email_normal: str, reason: str, detail: str = "") -> bool:
    """Suppress an address; whether it was not before."""
    return bool(
        tx.run(
            """
            INSERT INTO suppressions (email_normal, reason, detail)
            VALUES (%(email_normal)s, %(reason)s, %(detail)s)
            ON CONFLICT (email_normal) DO NOTHING
            """,
            email_normal=email_normal,
            reason=reason,
            detail=detail,
        )
    )


def has(tx: Tx, email_normal: str) -> bool:
    """Must this address not be mailed?"""
    return bool(
        tx.value("SELECT EXISTS (SELECT FROM suppressions WHERE email_normal = %(email_normal)s)", email_normal=email_normal)
    )
