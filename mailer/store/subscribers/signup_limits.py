"""The use of each limit, sign-ups by minute, and the firewall's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from mailer.core.db import Tx
from mailer.store.subscribers import inbox_emails

INBOX = "inbox"  # the scope of the limit on the emailed inbox, which is only looked at here: queuing an email counts it


def use(tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta) -> str:
    """Use one unit of each limit (scope, key, number per ``per``), in order; return the scope of the first full one, or ''.

    A limit that is full ends it: neither it nor any after it counts the request. GCRA: exact, with one row for each key.
    """
    row = tx.often(_compose_chain((False,) * len(wanted)), **_name_values(wanted, per))
    assert row
    return _get_full(wanted, row["passed"])


def use_for_signup(
    tx: Tx, wanted: Sequence[tuple[str, str, int]], per: timedelta, inbox: InboxUse, window: timedelta
) -> tuple[str, Firewall, int]:
    """Like ``use``, and count a sign-up in this minute if no limit is full; does not wait for the disk.

    Return also the firewall, and the number of sign-ups in the last ``window``.
    """
    values = _name_values(wanted, per, inbox) | {"window": window}
    row = tx.often(_compose_chain(tuple(scope == INBOX for scope, _, _ in wanted), for_signup=True), **values)
    assert row
    return _get_full(wanted, row["passed"]), Firewall(row["active_since"], row["reason"], row["is_manual"]), row["recent"]


def _name_values(wanted: Sequence[tuple[str, str, int]], per: timedelta, inbox: InboxUse | None = None) -> dict[str, Any]:
    values: dict[str, Any] = {"per": per}
    for place, (scope, key, most) in enumerate(wanted):
        if scope == INBOX:
            assert inbox
            numbers, periods = zip(*inbox.limits, strict=True)
            values |= {"inbox": inbox.hash, "numbers": list(numbers), "periods": list(periods)}
        else:
            values |= {f"scope_{place}": scope, f"key_{place}": key, f"most_{place}": float(most)}
    return values


def _get_full(wanted: Sequence[tuple[str, str, int]], passed: int) -> str:
    return next((scope for place, (scope, _, _) in enumerate(wanted) if place == passed), "")


@dataclass(frozen=True)
class InboxUse:
    """The hash of an inbox, and the limits (number, period) on emails to it."""

    hash: bytes
    limits: Sequence[tuple[int, timedelta]]


@cache
def _compose_chain(are_inboxes: tuple[bool, ...], for_signup: bool = False) -> str:
    """Compose one statement in which each limit reads from the one before it, so that it is used only if that had room."""
    steps, before = [], "(SELECT) AS started"
    for place, is_inbox in enumerate(are_inboxes):
        step = f"SELECT FROM {before} WHERE {inbox_emails.FITS}" if is_inbox else _USE.format(place=place, before=before)
        steps.append(f"limit_{place} AS ({step})")
        before = f"limit_{place}"
    if for_signup:
        steps.append(f"counted AS ({_COUNT.format(before=before)})")
    passed = " + ".join(f"(SELECT count(*) FROM limit_{place})" for place in range(len(are_inboxes)))
    return f"WITH {', '.join(steps)} SELECT {passed} AS passed" + (_FIREWALL if for_signup else "")


_USE = """
    INSERT INTO limits AS used (scope, key, used_until)
    SELECT
        %(scope_{place})s::text, %(key_{place})s::text, clock_timestamp() + %(per)s::interval / %(most_{place})s::float8
    FROM {before}
    ON CONFLICT (scope, key) DO UPDATE SET
        used_until = greatest(used.used_until, clock_timestamp()) + (excluded.used_until - clock_timestamp())
    WHERE greatest(used.used_until, clock_timestamp()) + (excluded.used_until - clock_timestamp())
        <= clock_timestamp() + %(per)s::interval
    RETURNING scope
"""
_COUNT = """
    INSERT INTO signup_minutes AS counted (minute, number) SELECT date_trunc('minute', now()), 1 FROM {before}
    ON CONFLICT (minute) DO UPDATE SET number = counted.number + 1
"""
_FIREWALL = """,
        active_since, coalesce(reason, '') AS reason, coalesce(is_manual, false) AS is_manual,
        (
            SELECT coalesce(sum(number), 0) FROM signup_minutes WHERE minute > now() - %(window)s::interval
        )::integer AS recent,
        set_config('synchronous_commit', 'off', true)
    FROM (SELECT 1) AS once LEFT JOIN firewall ON true
"""


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

    active_since: datetime | None
    reason: str
    is_manual: bool


def get_firewall(tx: Tx) -> Firewall:
    """Return the firewall's state."""
    row = tx.one("SELECT active_since, reason, is_manual FROM firewall")
    return Firewall(**row) if row else Firewall(None, "", False)


def raise_firewall(tx: Tx, reason: str, is_manual: bool = False) -> bool:
    """Hold confirmation emails from now on; return whether that is a change."""
    return bool(
        tx.run(
            """
            UPDATE firewall SET active_since = now(), reason = %(reason)s, is_manual = %(is_manual)s WHERE active_since IS NULL
            """,
            reason=reason,
            is_manual=is_manual,
        )
    )


def lower_firewall(tx: Tx, only_automatic: bool = False) -> bool:
    """Stop holding new confirmation emails; return whether that is a change. Those already held stay held."""
    return bool(
        tx.run(
            """
            UPDATE firewall SET active_since = NULL, reason = '', is_manual = false
            WHERE active_since IS NOT NULL AND NOT (is_manual AND %(only_automatic)s)
            """,
            only_automatic=only_automatic,
        )
    )
