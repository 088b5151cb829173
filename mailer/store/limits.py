"""How much of each limit is used, sign-ups by minute, and the firewall's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.db import Tx


def take(tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    """Use one of each limit (scope, key, how many in each ``per``); the scopes in which there was one left.

    GCRA: exact, one row for each key. The rows are locked in the order given.
    """
    rows = tx.all(
        """
        INSERT INTO limits AS used (scope, key, used_until)
        SELECT scope, key, clock_timestamp() + %(per)s / most
        FROM unnest(%(scopes)s::text [], %(keys)s::text [], %(most)s::float8 [])
            WITH ORDINALITY AS wanted (scope, key, most, place)
        ORDER BY place
        ON CONFLICT (scope, key) DO UPDATE SET
            used_until = greatest(used.used_until, clock_timestamp()) + (excluded.used_until - clock_timestamp())
        WHERE greatest(used.used_until, clock_timestamp()) + (excluded.used_until - clock_timestamp())
            <= clock_timestamp() + %(per)s
        RETURNING scope
        """,
        scopes=[scope for scope, _, _ in wanted],
        keys=[key for _, key, _ in wanted],
        most=[most for _, _, most in wanted],
        per=per,
    )
    return {row["scope"] for row in rows}


def purge(tx: Tx) -> int:
    """Forget limits that are wholly free again, and minutes older than a month."""
    tx.run("DELETE FROM signup_minutes WHERE minute < now() - interval '31 days'")
    return tx.run("DELETE FROM limits WHERE used_until < now()")


def count_signup(tx: Tx) -> None:
    """One more sign-up in this minute."""
    tx.run(
        """
        INSERT INTO signup_minutes AS counted (minute, number) VALUES (date_trunc('minute', now()), 1)
        ON CONFLICT (minute) DO UPDATE SET number = counted.number + 1
        """
    )


def recent(tx: Tx, window: timedelta) -> int:
    """Sign-ups in the last ``window``."""
    return int(tx.value("SELECT coalesce(sum(number), 0) FROM signup_minutes WHERE minute > now() - %(window)s", window=window))


def usual(tx: Tx, window: timedelta, past: timedelta) -> float:
    """How many sign-ups a ``window`` had on average in the time ``past``, the last hour left out."""
    total = tx.value(
        """
        SELECT coalesce(sum(number), 0) FROM signup_minutes
        WHERE minute > now() - %(past)s AND minute < now() - interval '1 hour'
        """,
        past=past,
    )
    return float(total) * (window / past)


@dataclass(frozen=True)
class Firewall:
    """Since when confirmation mails are held back (None: they are not), why, and whether an operator said so."""

    up_since: datetime | None
    reason: str
    by_hand: bool


def firewall(tx: Tx) -> Firewall:
    """The firewall as it is."""
    row = tx.one("SELECT up_since, reason, by_hand FROM firewall")
    return Firewall(**row) if row else Firewall(None, "", False)


def raise_firewall(tx: Tx, reason: str, by_hand: bool = False) -> bool:
    """Hold confirmation mails back from now on; whether that is new."""
    return bool(
        tx.run(
            """
            UPDATE firewall SET up_since = now(), reason = %(reason)s, by_hand = %(by_hand)s WHERE up_since IS NULL
            """,
            reason=reason,
            by_hand=by_hand,
        )
    )


def lower_firewall(tx: Tx, only_automatic: bool = False) -> bool:
    """Let new confirmation mails go; whether they were held. Those that are held stay held."""
    return bool(
        tx.run(
            """
            UPDATE firewall SET up_since = NULL, reason = '', by_hand = false
            WHERE up_since IS NOT NULL AND NOT (by_hand AND %(only_automatic)s)
            """,
            only_automatic=only_automatic,
        )
    )
