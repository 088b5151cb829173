"""Events of Stripe: each stored once by its id, looked at until it is done. And the account they come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core.db import Tx, each


@dataclass(frozen=True)
class Open:
    """An event that waits: what it is about is ``object_id``."""

    id: str
    type: str
    object_id: str


@dataclass(frozen=True)
class Account:
    """The account this database belongs to."""

    account_id: str
    livemode: bool


def add(tx: Tx, event_id: str, kind: str, object_id: str, created_at: datetime) -> bool:
    """Store an event; False when it was stored before."""
    return bool(
        tx.run(
            """
            INSERT INTO stripe_events (id, type, object_id, created_at)
            VALUES (%(id)s, %(type)s, %(object_id)s, %(created_at)s)
            ON CONFLICT DO NOTHING
            """,
            id=event_id,
            type=kind,
            object_id=object_id,
            created_at=created_at,
        )
    )


def take(tx: Tx, number: int) -> list[Open]:
    """Up to so many events that are due; they are due again in a minute, in case this worker dies."""
    rows = tx.all(
        """
        UPDATE stripe_events
        SET due_at = now() + interval '1 minute' * least(power(2, attempts), 60), attempts = attempts + 1
        WHERE id IN (
            SELECT id FROM stripe_events
            WHERE done_at IS NULL AND due_at <= now()
            ORDER BY due_at, id
            LIMIT %(number)s
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id, type, object_id
        """,
        number=number,
    )
    return each(rows, Open)


def done(tx: Tx, event_id: str, detail: str = "") -> None:
    """Nothing is left to do about this event."""
    tx.run("UPDATE stripe_events SET done_at = now(), detail = %(detail)s WHERE id = %(id)s", id=event_id, detail=detail[:500])


def wait(tx: Tx, event_id: str, detail: str) -> None:
    """It could not be done just now, and why."""
    tx.run("UPDATE stripe_events SET detail = %(detail)s WHERE id = %(id)s", id=event_id, detail=detail[:500])


def has_work(tx: Tx) -> bool:
    """Is any event due?"""
    return bool(tx.value("SELECT EXISTS (SELECT FROM stripe_events WHERE done_at IS NULL AND due_at <= now())"))


def account(tx: Tx) -> Account | None:
    """The account this database belongs to, or None before the first set-up."""
    row = tx.one("SELECT account_id, livemode FROM stripe_account")
    return Account(**row) if row else None


def bind(tx: Tx, account_id: str, livemode: bool) -> None:
    """This database belongs to an account and mode; it stays the first one."""
    tx.run(
        """
        INSERT INTO stripe_account (account_id, livemode) VALUES (%(account_id)s, %(livemode)s)
        ON CONFLICT DO NOTHING
        """,
        account_id=account_id,
        livemode=livemode,
    )


def reconciled(tx: Tx) -> None:
    """Everything was compared with Stripe just now."""
    tx.run("UPDATE stripe_account SET reconciled_at = now()")


def reconcile_due(tx: Tx, every: timedelta) -> bool:
    """Is there an account, and was everything compared longer ago than ``every``?"""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT FROM stripe_account WHERE coalesce(reconciled_at, at) < now() - %(every)s)", every=every
        )
    )
