"""Emails that strangers caused, by inbox: a hash and a time, kept for 30 days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mailer.core.db import Tx

MAX_AGE = timedelta(days=30)


def lock(tx: Tx, inbox: bytes) -> None:
    """Let no other transaction count this inbox until this one ends."""
    tx.often("SELECT pg_advisory_xact_lock(hashtextextended(encode(%(inbox)s::bytea, 'hex'), 0))", inbox=inbox)


def add(tx: Tx, inbox: bytes, limits: Sequence[tuple[int, timedelta]]) -> bool:
    """Count an email to this inbox, unless one of the ``limits`` (number, period) is used up; return whether it was counted."""
    return bool(
        tx.often(
            f"INSERT INTO inbox_emails (inbox) SELECT %(inbox)s::bytea WHERE {FITS} RETURNING created_at",
            inbox=inbox,
            numbers=[number for number, _ in limits],
            periods=[period for _, period in limits],
        )
    )


FITS = """
    NOT EXISTS (
        SELECT FROM unnest(%(numbers)s::bigint [], %(periods)s::interval []) AS allowed (number, period)
        WHERE allowed.number <= (
            SELECT count(*) FROM inbox_emails
            WHERE inbox_emails.inbox = %(inbox)s::bytea AND inbox_emails.created_at > now() - allowed.period
        )
    )
"""


def purge(tx: Tx) -> int:
    """Delete what no limit counts any more; return how many rows."""
    return tx.run("DELETE FROM inbox_emails WHERE created_at < now() - %(age)s", age=MAX_AGE)


def forget(tx: Tx, inbox: bytes) -> None:
    """Delete what is stored about an inbox."""
    tx.run("DELETE FROM inbox_emails WHERE inbox = %(inbox)s", inbox=inbox)
