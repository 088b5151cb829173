"""How much of each limit is used, sign-ups by minute, and the firewall's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx


def take(tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    """Use one of each limit (scope, key, how many in each ``per``); the scopes in which there was one left.

    GCRA: exact, one row for each key. The rows are locked in the order given.
    """
    return _taken(tx, _TAKE, wanted, per)


def take_for_signup(tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    """The same, and one more sign-up in this minute."""
    return _taken(tx, _TAKE_FOR_SIGNUP, wanted, per)


_TAKEN = """
    WITH taken AS (
        INSERT INTO limits AS used (scope, key, used_until)
        SELECT scope, key, clock_timestamp() + %(per)s::interval / most
        FROM unnest(%(scopes)s::text [], %(keys)s::text [], %(most)s::float8 [])
            WITH ORDINALITY AS wanted (scope, key, most, place)
        ORDER BY place
        ON CONFLICT (scope, key) DO UPDATE SET
            used_until = greatest(used.used_until, clock_timestamp()) + (excluded.used_until - clock_timestamp())
        WHERE greatest(used.used_until, clock_timestamp()) + (excluded.used_until - clock_timestamp())
            <= clock_timestamp() + %(per)s::interval
        RETURNING scope
    )
"""
_COUNTED = """,
    counted AS (
        INSERT INTO signup_minutes AS counted (minute, number) VALUES (date_trunc('minute', now()), 1)
        ON CONFLICT (minute) DO UPDATE SET number = counted.number + 1
    )
"""
_SCOPES = "SELECT coalesce(array_agg(scope), '{}') AS scopes FROM taken"
_TAKE, _TAKE_FOR_SIGNUP = _TAKEN + _SCOPES, _TAKEN + _COUNTED + _SCOPES


def _taken(tx: Tx, sql: str, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    row = tx.often(
        sql,
        scopes=[scope for scope, _, _ in wanted],
        keys=[key for _, key, _ in wanted],
        most=[float(most) for _, _, most in wanted],
        per=per,
    )
    return set(row["scopes"]) if row else set()


def purge(tx: Tx) -> int:
    """Forget limits that are wholly free again, and minutes older than a month."""
    tx.run("DELETE FROM signup_minutes WHERE minute < now() - interval '31 days'")
    return tx.run("DELETE FROM limits WHERE used_until < now()")


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


def at_the_door(tx: Tx, window: timedelta) -> tuple[Firewall, int]:
    """The firewall as it is, and sign-ups in the last ``window``. Nothing here waits for the disk."""
    row = tx.often(
        """
        SELECT
            up_since, coalesce(reason, '') AS reason, coalesce(by_hand, false) AS by_hand,
            (
                SELECT coalesce(sum(number), 0) FROM signup_minutes WHERE minute > now() - %(window)s::interval
            )::integer AS recent,
            set_config('synchronous_commit', 'off', true)
        FROM (SELECT 1) AS once LEFT JOIN firewall ON true
        """,
        window=window,
    )
    assert row
    return Firewall(row["up_since"], row["reason"], row["by_hand"]), row["recent"]


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
