"""Suppressions: addresses that must not be mailed, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx


def has(tx: Tx, email_normal: str) -> bool:
    """Must this address not be mailed?"""
    return bool(
        tx.value("SELECT EXISTS (SELECT FROM suppressions WHERE email_normal = %(email_normal)s)", email_normal=email_normal)
    )


def standing(tx: Tx, email_normal: str, hash_: bytes) -> tuple[bool, str | None]:
    """Must this address not be mailed, and why it must not be, if it was erased ('': it may; None: nobody was erased)."""
    row = tx.often(
        """
        SELECT
            EXISTS (SELECT FROM suppressions WHERE email_normal = %(email_normal)s) AS suppressed,
            (SELECT reason FROM erased WHERE hash = %(hash)s) AS erased
        """,
        email_normal=email_normal,
        hash=hash_,
    )
    assert row
    return bool(row["suppressed"]), row["erased"]


def add_readers(tx: Tx, subscriber_ids: Sequence[int], reason: str) -> int:
    """Suppress the addresses of these readers; how many are new or have a graver reason now (the operator's stays)."""
    return tx.run(
        """
        INSERT INTO suppressions (email_normal, reason)
        SELECT email_normal, %(reason)s FROM subscribers WHERE id = ANY(%(ids)s::bigint []) ORDER BY email_normal
        ON CONFLICT (email_normal) DO UPDATE SET reason = excluded.reason
        WHERE array_position(ARRAY['soft bounces', 'hard bounce', 'complaint', 'operator'], suppressions.reason)
            < array_position(ARRAY['soft bounces', 'hard bounce', 'complaint', 'operator'], excluded.reason)
        """,
        ids=list(subscriber_ids),
        reason=reason,
    )
