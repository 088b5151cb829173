"""Made-up readers in the database of a rehearsal, which is thrown away afterwards. Never used on a real ledger."""

from __future__ import annotations

from collections.abc import Sequence

from mailer.core.db import Tx


def add_subscribers(tx: Tx, number: int, texts: Sequence[tuple[str, bool]] = (("", False),)) -> int:
    """So many active readers at ``rehearsal.example``, in a database without any subscribers; how many were made.

    They take turns in ``texts``: their language, and whether they may read everything.
    """
    made = tx.run(
        """
        INSERT INTO subscribers (email, email_normal, state, lang, confirmed_at)
        SELECT
            format('reader-%%s@rehearsal.example', n), format('reader-%%s@rehearsal.example', n), 'active',
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
        INSERT INTO accesses (subscriber_id, state, premium)
        SELECT id, 'paying', true
        FROM subscribers
        WHERE split_part(split_part(email, '@', 1), '-', 2)::bigint %% %(turns)s = ANY(%(paid)s::int [])
        """,
        turns=len(texts),
        paid=[turn for turn, (_, paid) in enumerate(texts) if paid],
    )
    tx.script("ANALYZE subscribers; ANALYZE accesses")
    return made
