"""The desk's links, sessions and audit log. Secrets are stored as their SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class DeskIdentity:
    """Who signed in; ``by_email`` if the settings, and not the command line, gave the role."""

    operator: str
    role: str
    by_email: bool


@dataclass(frozen=True)
class DeskAct:
    """What an operator did; ``outcome`` is '' if it was done, else why it was refused."""

    id: int
    at: datetime
    operator: str
    role: str
    act: str
    target: str
    outcome: str


def add(tx: Tx, table: Literal["desk_links", "desk_sessions"], hash_: bytes, who: DeskIdentity, expiry: timedelta) -> None:
    """Store a link that signs in once, or begin a session."""
    tx.run(
        f"""
        INSERT INTO {table} (hash, operator, role, by_email, expires_at)
        VALUES (%(hash)s, %(operator)s, %(role)s, %(by_email)s, now() + %(expiry)s)
        """,
        hash=hash_,
        expiry=expiry,
        **vars(who),
    )


def count_open_links(tx: Tx, operator: str) -> int:
    """Return how many links of an operator are neither used nor expired. One transaction for each operator at a time."""
    tx.run("SELECT pg_advisory_xact_lock(hashtextextended(%(operator)s, 24))", operator=operator)
    return int(
        tx.value(
            "SELECT count(*) FROM desk_links WHERE operator = %(operator)s AND used_at IS NULL AND expires_at > now()",
            operator=operator,
        )
    )


def is_link_open(tx: Tx, hash_: bytes) -> bool:
    """Return whether a link can still be used."""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT FROM desk_links WHERE hash = %(hash)s AND used_at IS NULL AND expires_at > now())",
            hash=hash_,
        )
    )


def use_link(tx: Tx, hash_: bytes) -> DeskIdentity | None:
    """Use a link up; return whose it is, or None if it was used or is too old."""
    row = tx.one(
        """
        UPDATE desk_links SET used_at = now() WHERE hash = %(hash)s AND used_at IS NULL AND expires_at > now()
        RETURNING operator, role, by_email
        """,
        hash=hash_,
    )
    return DeskIdentity(**row) if row else None


def get_session(tx: Tx, hash_: bytes) -> DeskIdentity | None:
    """Return whose session this is, or None if it has ended."""
    row = tx.often(
        """
        SELECT operator, role, by_email FROM desk_sessions
        WHERE hash = %(hash)s AND ended_at IS NULL AND expires_at > now()
        """,
        hash=hash_,
    )
    return DeskIdentity(**row) if row else None


def end_sessions(tx: Tx, hash_: bytes | None = None, operator: str = "") -> int:
    """End one session, all of an operator, or all; return how many."""
    return tx.run(
        """
        UPDATE desk_sessions SET ended_at = now()
        WHERE ended_at IS NULL AND expires_at > now()
            AND (%(hash)s::bytea IS NULL OR hash = %(hash)s) AND (%(operator)s = '' OR operator = %(operator)s)
        """,
        hash=hash_,
        operator=operator,
    )


def add_act(tx: Tx, who: DeskIdentity, act: str, target: str, outcome: str) -> None:
    """Write down what an operator did."""
    tx.run(
        """
        INSERT INTO desk_acts (operator, role, act, target, outcome)
        VALUES (%(operator)s, %(role)s, %(act)s, %(target)s, %(outcome)s)
        """,
        operator=who.operator,
        role=who.role,
        act=act,
        target=target,
        outcome=outcome,
    )


def list_acts(tx: Tx, limit: int) -> list[DeskAct]:
    """Return the latest acts, newest first."""
    rows = tx.all(
        "SELECT id, at, operator, role, act, target, outcome FROM desk_acts ORDER BY id DESC LIMIT %(limit)s", limit=limit
    )
    return each(rows, DeskAct)


def purge(tx: Tx, age: timedelta) -> int:
    """Delete links and sessions that ended longer ago than ``age``; return how many."""
    gone = tx.run("DELETE FROM desk_links WHERE expires_at < now() - %(age)s", age=age)
    return gone + tx.run("DELETE FROM desk_sessions WHERE expires_at < now() - %(age)s", age=age)
