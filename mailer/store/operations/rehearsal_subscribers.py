"""Test subscribers for the temporary database of a rehearsal. Never used on a real ledger."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx


def add_subscribers(tx: Tx, number: int, texts: Sequence[tuple[str, bool]] = (("", False),)) -> int:
    """Add active subscribers at ``rehearsal.example`` to a database that has none; return how many.

    ``texts`` (a language, and whether paid) are assigned to them in turn.
    """
    made = tx.run(
        """
        INSERT INTO subscribers (email, email_normal, state, lang, confirmed_at)
        SELECT
            format('subscriber-%%s@rehearsal.example', n), format('subscriber-%%s@rehearsal.example', n), 'active',
            (%(langs)s::text [])[1 + n %% %(turns)s], now()
        FROM generate_series(1, %(number)s) AS n
        WHERE NOT EXISTS (SELECT FROM subscribers)
        """,
        number=number,
        langs=[lang for lang, _ in texts],
        turns=len(texts),
    )
    tx.run(
        """
        INSERT INTO entitlements (subscriber_id, state, premium)
        SELECT id, 'paying', true
        FROM subscribers
        WHERE split_part(split_part(email, '@', 1), '-', 2)::bigint %% %(turns)s = ANY(%(paid)s::int [])
        """,
        turns=len(texts),
        paid=[turn for turn, (_, paid) in enumerate(texts) if paid],
    )
    tx.script("ANALYZE subscribers; ANALYZE entitlements")
    return made
