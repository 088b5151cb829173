"""The use of each limit, sign-ups by minute, and the firewall's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx


def use(tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    """Use one unit of each limit (scope, key, number per ``per``); return the scopes that had one left.

    GCRA: exact, with one row for each key. The rows are locked in the order given.
    """
    return _use(tx, _USE, wanted, per)


def use_for_signup(tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    """Do the same, and count a sign-up in this minute."""
    return _use(tx, _USE_FOR_SIGNUP, wanted, per)


_USED = """
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
_USE, _USE_FOR_SIGNUP = _USED + _SCOPES, _USED + _COUNTED + _SCOPES


def _use(tx: Tx, sql: str, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> set[str]:
    row = tx.often(
        sql,
        scopes=[scope for scope, _, _ in wanted],
        keys=[key for _, key, _ in wanted],
        most=[float(most) for _, _, most in wanted],
        per=per,
    )
    return set(row["scopes"]) if row else set()


def purge(tx: Tx) -> int:
    """Delete limits that are entirely unused again, and minutes older than a month."""
    tx.run("DELETE FROM signup_minutes WHERE minute < now() - interval '31 days'")
    return tx.run("DELETE FROM limits WHERE used_until < now()")


def count_recent(tx: Tx, window: timedelta) -> int:
    """Return the number of sign-ups in the last ``window``."""
    return int(tx.value("SELECT coalesce(sum(number), 0) FROM signup_minutes WHERE minute > now() - %(window)s", window=window))


def average_count(tx: Tx, window: timedelta, past: timedelta) -> float:
    """Return the average number of sign-ups in a ``window`` over the time ``past``, without the last hour."""
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
    """Since when confirmation emails are held (None: they are not), why, and whether an operator decided it."""

    up_since: datetime | None
    reason: str
    by_hand: bool


def get_firewall_and_count(tx: Tx, window: timedelta) -> tuple[Firewall, int]:
    """Return the firewall, and the sign-ups in the last ``window``. Does not wait for the disk."""
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


def get_firewall(tx: Tx) -> Firewall:
    """Return the firewall's state."""
    row = tx.one("SELECT up_since, reason, by_hand FROM firewall")
    return Firewall(**row) if row else Firewall(None, "", False)


def raise_firewall(tx: Tx, reason: str, by_hand: bool = False) -> bool:
    """Hold confirmation emails from now on; return whether that is a change."""
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
    """Stop holding new confirmation emails; return whether that is a change. Those already held stay held."""
    return bool(
        tx.run(
            """
            UPDATE firewall SET up_since = NULL, reason = '', by_hand = false
            WHERE up_since IS NOT NULL AND NOT (by_hand AND %(only_automatic)s)
            """,
            only_automatic=only_automatic,
        )
    )
