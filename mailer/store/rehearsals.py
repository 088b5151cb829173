"""Made-up readers in the database of a rehearsal, which is thrown away afterwards. Never used on a real ledger."""

from __future__ import annotations

from mailer.db import Tx


def make_up(tx: Tx, number: int) -> int:
    """So many active readers at ``rehearsal.example``, in a database without any subscribers; how many were made."""
    made = tx.run(
        """
        INSERT INTO subscribers (email, email_normal, state, confirmed_at)
        SELECT format('reader-%%s@rehearsal.example', n), format('reader-%%s@rehearsal.example', n), 'active', now()
        FROM generate_series(1, %(number)s) AS n
        WHERE NOT EXISTS (SELECT FROM subscribers)
        """,
        number=number,
    )
    tx.script("ANALYZE subscribers")
    return made
