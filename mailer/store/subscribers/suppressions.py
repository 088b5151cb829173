"""Suppressions: addresses that must not be emailed, whoever requests it."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx


def is_suppressed(tx: Tx, email_normal: str) -> bool:
    """Return whether an address is suppressed."""
    return bool(
        tx.value("SELECT EXISTS (SELECT FROM suppressions WHERE email_normal = %(email_normal)s)", email_normal=email_normal)
    )


def get_status(tx: Tx, email_normal: str, hashes: Sequence[bytes]) -> tuple[bool, str | None]:
    """Return whether an address is suppressed, and the reason if it was erased ('': none; None: not erased)."""
    row = tx.often(
        """
        SELECT
            EXISTS (SELECT FROM suppressions WHERE email_normal = %(email_normal)s) AS suppressed,
            (SELECT max(reason) FROM erased WHERE hash = ANY(%(hashes)s::bytea [])) AS erased
        """,
        email_normal=email_normal,
        hashes=list(hashes),
    )
    assert row
    return bool(row["suppressed"]), row["erased"]


def add_for_subscribers(tx: Tx, subscriber_ids: Sequence[int], reason: str) -> int:
    """Suppress these subscribers' addresses; return how many are new or have a stronger reason (the operator's stays)."""
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
